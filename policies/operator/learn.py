"""From the calls of a run to the smallest policy under which they would have passed.

Owns proposing one, trying it on every call, and widening it until they pass. What a call needs is
found in `needs`, and written in `proposal`. Refuses to know the record of a run.
"""

from collections.abc import Callable, Sequence

from policies.decision import Allow, Ask, Call, Decision, Deny, decide
from policies.frozen import dataclass
from policies.loading import loads
from policies.operator.needs import VERIFY, ObservedCall, PolicyNeeds
from policies.operator.proposal import ObservedUse, PolicyProposal
from policies.policy import SERVER_TOOLS, Policy

_PASSES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnedPolicy:
    text: str
    """The policy file."""
    policy: Policy
    unmet: tuple[str, ...]
    """Calls that it does not allow, with the reason; empty: it allows all of them."""


def learn(
    calls: Sequence[ObservedCall],
    *,
    base: Policy,
    title: str,
    used: ObservedUse,
    verify: str | None = None,
    changed: Sequence[str] = (),
    left_out: Sequence[str] = (),
    is_directory: Callable[[str], bool] = lambda _: False,
    server_tools: Sequence[str] = (),
) -> LearnedPolicy:
    """The policy, checked against every call.

    Args:
        base: what the run had; its image, environment and guards are kept, its bounds not exceeded.
        changed: paths of the patch, relative to the workspace.
        left_out: paths of new files that are in no patch; they are told of, not allowed.
        server_tools: what the model's service ran for it, by name of the tool.
        is_directory: does the workspace hold a directory of that name? A rule needs one that does.
    """
    needs = PolicyNeeds(base, is_directory)
    for call in calls:
        needs.take(call)
    if verify is not None:
        needs.take_command(ObservedCall(number=VERIFY, tool="bash", arguments={}), verify)
    for path in changed:
        needs.write(path, None)
    needs.tell_left_out(left_out)
    proposal = PolicyProposal(
        needs=needs,
        base=base,
        title=title,
        used=used,
        server_tools=tuple(tool for tool in SERVER_TOOLS if tool in server_tools),
    )
    policy, text, decisions = _tried(proposal, calls)
    for _ in range(_PASSES):
        missing = [
            (call, decision)
            for call, decision in zip(calls, decisions, strict=True)
            if isinstance(decision, Deny)
        ]
        # Every one of them, not only up to the first that is mended.
        if sum(needs.mend(policy, call, deny) for call, deny in missing) == 0:
            break
        policy, text, decisions = _tried(proposal, calls)
    unmet = tuple(
        f"call {call.number}: {decision.reason}"
        for call, decision in zip(calls, decisions, strict=True)
        if isinstance(decision, Deny) or (isinstance(decision, Ask) and not call.asked)
    )
    return LearnedPolicy(text=text, policy=policy, unmet=unmet)


def _tried(
    proposal: PolicyProposal, calls: Sequence[ObservedCall]
) -> tuple[Policy, str, list[Decision]]:
    """The proposed policy, its text, and what it says of each call."""
    policy = loads(proposal.text((), ()), file="learned.yaml")
    decisions = [decide(policy, Call(tool=c.tool, arguments=c.arguments)) for c in calls]
    allowed = [
        (call, decision)
        for call, decision in zip(calls, decisions, strict=True)
        if isinstance(decision, Allow)
    ]
    notes = [f"call {call.number}: {note}" for call, allow in allowed for note in allow.notes]
    examples = [str(call.arguments.get("command")) for call, _ in allowed if call.tool == "bash"]
    text = proposal.text(notes, examples)
    return loads(text, file="learned.yaml"), text, decisions
