"""What a policy says of one tool call, before it runs, and a person's answer where it asks.

The answer explains; enforcement is the kernel's (`kernel`). No match means deny. What a person
approved is bound to the exact call by its digest.
"""

import gc
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from policies import paths
from policies.commands.judge import judge
from policies.commands.rules import NO_MATCH, CommandOutcome, DecidingLayer, key_name
from policies.frozen import dataclass
from policies.policy import SERVER_TOOLS, WRITING_TOOLS, CeilingBounds, Policy

MAX_SHOWN_RULES = 64
_LONG_TEXT = 1 << 15
"""Characters; a shorter one makes too few objects for the collector to matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call as the model made it, its arguments already valid for the tool's schema."""

    tool: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Allow:
    rules: tuple[str, ...]
    """The rules that allowed it, as ``FILE:LINE commands[2] (git)``."""
    notes: tuple[str, ...] = ()
    """What the check left to the kernel, because only the run can know it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    rule: str
    reason: str
    digest: str
    """sha256 (hex) over tool and arguments: an approval counts for this exact call only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    rule: str
    """``FILE:LINE KEY``, or ``no match``."""
    reason: str
    """What was not allowed, and what is allowed instead: the model reads it."""


Decision = Allow | Ask | Deny

_READING = frozenset({"read_file", "list_dir", "search_files"})


def decide(policy: Policy, call: Call) -> Decision:
    """What a policy says of a call: deny beats ask beats allow. Never raises, whatever the text."""
    decision = _own(policy, call)
    return decision if policy.bounds is None else _bounded(policy.bounds, call, decision)


def _bounded(bounds: CeilingBounds, call: Call, narrowed: Decision) -> Decision:
    """What policy and ceilings say together; a denial names the one that denies.

    `narrowed` is the answer of what they have in common, and knows best what may be used instead.
    """
    before = _own(bounds.before, call)
    if isinstance(before, Deny):
        return replace(before, reason=(narrowed if isinstance(narrowed, Deny) else before).reason)
    ask = before if isinstance(before, Ask) else None
    for ceiling in bounds.ceilings:
        decision = _own(ceiling, call)
        match decision:
            case Deny(rule=rule, reason=reason):
                reason = narrowed.reason if isinstance(narrowed, Deny) else reason
                return Deny(
                    rule=key_name(ceiling, "commands") if rule == NO_MATCH else rule,
                    reason=f"the operator's ceiling does not allow it: {reason}",
                )
            case Ask():
                ask = ask or decision
            case Allow():
                pass
    if isinstance(narrowed, Deny):
        return narrowed
    return ask or before


def _own(policy: Policy, call: Call) -> Decision:
    if call.tool in SERVER_TOOLS:
        return _served(policy, call.tool)
    if call.tool not in policy.tools:
        tools = ", ".join(policy.tools) or "none"
        return Deny(
            rule=key_name(policy, "tools"),
            reason=f"the tool {call.tool[:80]!r} is not allowed here; allowed tools: {tools}",
        )
    if call.tool == "bash":
        with _without_collecting(call):
            return _bash(policy, call)
    if call.tool in WRITING_TOOLS or call.tool in _READING:
        return _file(policy, call)
    return Allow(rules=(key_name(policy, "tools"),))


def _served(policy: Policy, tool: str) -> Decision:
    rule = key_name(policy, "server_tools")
    if tool in policy.server_tools:
        return Allow(rules=(rule,))
    named = ", ".join(policy.server_tools) or "none"
    reason = f"the service's tool {tool!r} is not allowed here; allowed server tools: {named}"
    return Deny(rule=rule, reason=reason)


@contextmanager
def _without_collecting(call: Call) -> Iterator[None]:
    """No garbage collection while a long text is judged: it finds none, and takes half the time."""
    command = call.arguments.get("command")
    pauses = isinstance(command, str) and len(command) > _LONG_TEXT and gc.isenabled()
    if pauses:
        gc.disable()
    try:
        yield
    finally:
        if pauses:
            gc.enable()


def digest(call: Call) -> str:
    """sha256 (hex) over tool and arguments in one canonical form."""
    canonical = json.dumps(
        {"tool": call.tool, "arguments": dict(call.arguments)},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=True,
        default=repr,
    )
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _bash(policy: Policy, call: Call) -> Decision:
    command = call.arguments.get("command")
    if not isinstance(command, str):
        return Deny(rule=NO_MATCH, reason="bash takes a command, a text")
    ask: Ask | None = None
    rules: dict[str, None] = {}
    notes: dict[str, None] = {}
    for part in judge(policy, command):
        decision = part.decision
        if decision is None:
            continue
        match decision.outcome:
            case CommandOutcome.DENY:
                return Deny(rule=decision.rule, reason=decision.reason)
            case CommandOutcome.ASK:
                ask = ask or Ask(rule=decision.rule, reason=decision.reason, digest=digest(call))
            case CommandOutcome.ALLOW if decision.layer is DecidingLayer.KERNEL:
                if len(notes) < MAX_SHOWN_RULES:
                    notes[f"{part.shown}: {decision.reason}; the kernel decides"] = None
            case CommandOutcome.ALLOW:
                rules[decision.rule] = None
    if ask is not None:
        return ask
    return Allow(rules=tuple(rules), notes=tuple(notes))


def _file(policy: Policy, call: Call) -> Decision:
    writes = call.tool in WRITING_TOOLS
    path = call.arguments.get("path")
    if path is None and not writes:
        path = "."
    complaint = paths.path_complaint(path)
    if complaint is not None:
        return Deny(rule=NO_MATCH, reason=complaint)
    place = paths.place(policy, str(path))
    tops = paths.writable_tops(policy) if writes else paths.readable_tops(policy)
    # What the image brings is readable but for programs that are not listed: the kernel's to say.
    images_own = not writes and not paths.within(place, paths.WORKSPACE)
    if tops is not None and not images_own and not paths.within_any(place, tops):
        key, verb = ("paths.write", "written") if writes else ("paths.read", "read")
        reason = f"{path} may not be {verb}; may be: {', '.join(tops[:12])}"
        return Deny(rule=key_name(policy, key), reason=reason)
    return Allow(rules=(key_name(policy, "tools"),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    digest: str
    """Digest of the call that was shown: an answer counts for no other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovedBefore:
    """Approved without being asked again: a person said so, for this exact call."""

    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    reason: str


Answered = Approved | ApprovedBefore | Declined
Approve = Callable[[Call, Ask], Answered]


def nobody_to_ask(_call: Call, _ask: Ask) -> Declined:
    """For runs without a terminal."""
    return Declined(
        reason="it needs a person's approval, and nobody can be asked in this run: do without"
    )
