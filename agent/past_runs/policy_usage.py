"""What the calls of a run needed of a policy, from its record.

Owns which events count. Refuses to know how a policy comes of it (`policies.operator.learn`).
"""

from collections.abc import Iterable
from dataclasses import replace

from agent.errors import RecordError
from agent.models.interface import Opaque, Usage
from agent.past_runs.resume import recorded_policy
from agent.record.events.conversation import CallEnded, CallRefused, CallStarted, ModelReplied
from agent.record.events.kinds import Event
from agent.record.events.lifecycle import Exported, RunEnded, RunStarted
from policies.decision import Ask
from policies.frozen import dataclass
from policies.loading import loads
from policies.operator.needs import ObservedCall
from policies.operator.proposal import ObservedUse
from policies.policy import Policy

_REFUSED_BY_POLICY = frozenset({"denied", "not approved"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyUsage:
    calls: tuple[ObservedCall, ...]
    used: ObservedUse
    policy: Policy
    """What the run had; the built-in ground where the recorded one can't be read."""
    known: bool
    """The recorded policy can be read."""
    workspace: str
    verify: str | None
    changed: tuple[str, ...]
    """Paths of the patch."""
    left_out: tuple[str, ...]
    """Paths of new files that are in no patch: caches, mostly."""
    server_tools: tuple[str, ...]
    """Tools that the model's service ran, by name."""


def policy_usage(events: Iterable[Event], *, include_refused: bool) -> PolicyUsage:
    """Args:
    include_refused: what the policy refused counts as needed too.
    """
    calls: list[ObservedCall] = []
    changed: list[str] = []
    left_out: list[str] = []
    policy: Policy | None = None
    verify: str | None = None
    workspace = ""
    server_tools: list[str] = []
    used = ObservedUse()
    longest = 0.0
    for event in events:
        match event:
            case RunStarted():
                policy, verify, workspace = _policy(event), event.verify, event.workspace
            case CallStarted():
                calls.append(_observed(event))
            case CallRefused() if include_refused and event.why in _REFUSED_BY_POLICY:
                calls.append(_observed(event))
            case CallEnded():
                longest = max(longest, _sane(event.seconds))
            case Exported():
                changed += _paths(change.path for change in event.changes)
                left_out += _paths(item.path for item in event.left_out)
            case ModelReplied():
                used = _used(event.used, seconds=event.seconds, turns=event.turn)
                server_tools += _served(event)
            case RunEnded():
                used = _used(event.used, seconds=event.seconds, turns=event.turns)
            case _:
                pass
    return PolicyUsage(
        calls=tuple(calls),
        used=replace(used, longest_call_s=longest),
        policy=policy or loads("version: 1\nname: unsaid\n", file="unsaid.yaml"),
        known=policy is not None,
        workspace=workspace,
        verify=verify,
        changed=tuple(changed),
        left_out=tuple(left_out),
        server_tools=tuple(dict.fromkeys(server_tools)),
    )


def _policy(started: RunStarted) -> Policy | None:
    """The recorded policy; None where it is none: an empty one, or one that was edited."""
    if not started.policy_rules:
        return None
    try:
        return recorded_policy(started, file="the record")[0]
    except RecordError:
        return None


def _observed(event: CallStarted | CallRefused) -> ObservedCall:
    return ObservedCall(
        number=event.number,
        tool=event.tool,
        arguments=dict(event.arguments),
        asked=isinstance(event.decision, Ask),
    )


def _served(event: ModelReplied) -> list[str]:
    """Which of its tools the service used in a reply."""
    opaque = [block for block in event.reply.message.blocks if isinstance(block, Opaque)]
    names = [
        block.raw.get("name")
        if block.raw.get("type") == "server_tool_use"
        else block.server_side.partition(":")[0]
        for block in opaque
    ]
    # Code is run under names of its own: bash_code_execution, for one.
    return [
        "code_execution" if name.endswith("code_execution") else name
        for name in names
        if isinstance(name, str) and name
    ]


def _used(tokens: Usage, *, seconds: float, turns: int) -> ObservedUse:
    return ObservedUse(
        seconds=_sane(seconds),
        turns=int(_sane(turns)),
        input_tokens=int(_sane(tokens.all_input)),
        output_tokens=int(_sane(tokens.output_tokens)),
    )


def _sane(value: float) -> float:
    """A count or a time; what no run can have, and a record can be made to say, is nought."""
    return value if 0 <= value < 1e12 else 0  # NaN and infinity fail it too


def _paths(paths: Iterable[bytes]) -> list[str]:
    """A path that is no text can't stand in a policy; the directory above it would do, unknown."""
    return [path.decode() for path in paths if _is_text(path)]


def _is_text(path: bytes) -> bool:
    try:
        return bool(path.decode())
    except UnicodeDecodeError:
        return False
