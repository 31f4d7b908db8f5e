"""A run's record read as what its calls needed of a policy.

Owns which events count. What a record says is not believed to be of any shape: whoever can write
there, and a torn line, can put anything into it. Refuses to know how a policy comes of it
(`policies.learning`).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from policies.errors import PolicyError
from policies.file.rendering import spelled
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
    """What the run had; the built-in ground where the record does not say."""
    known: bool
    """The record says which policy it was."""
    verify: str | None
    changed: tuple[str, ...]
    """Paths of the patch."""
    left_out: tuple[str, ...]
    """Paths of new files that are in no patch: caches, mostly."""
    server_tools: tuple[str, ...]
    """Tools that the model's service ran, by name."""


def lessons(events: Iterable[Mapping[str, object]], *, include_refused: bool) -> PolicyUsage:
    calls: list[ObservedCall] = []
    changed: list[str] = []
    left_out: list[str] = []
    policy: Policy | None = None
    verify: str | None = None
    server_tools: list[str] = []
    used = ObservedUse()
    longest = 0.0
    for event in events:
        match event.get("event"):
            case "run_started":
                policy = _policy(event.get("policy_rules"))
                verify = _text(event.get("verify"))
            case "call_started":
                calls += _seen(event)
            case "call_refused" if include_refused and event.get("why") in _REFUSED_BY_POLICY:
                calls += _seen(event)
            case "call_ended":
                longest = max(longest, _number(event.get("seconds")))
            case "exported":
                changed += _paths(event.get("changes"))
                left_out += _paths(event.get("left_out"))
            case "model_replied":
                used = _used(event, turns=int(_number(event.get("turn"))))
                server_tools += _served(event)
            case "run_ended":
                used = _used(event, turns=int(_number(event.get("turns"))))
            case _:
                pass
    return PolicyUsage(
        calls=tuple(calls),
        used=ObservedUse(
            seconds=used.seconds,
            longest_call_s=longest,
            turns=used.turns,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
        ),
        policy=policy or loads("version: 1\nname: unsaid\n", file="unsaid.yaml"),
        known=policy is not None,
        verify=verify,
        changed=tuple(changed),
        left_out=tuple(left_out),
        server_tools=tuple(dict.fromkeys(server_tools)),
    )


def _policy(rules: object) -> Policy | None:
    """The recorded policy; None where there is none that can be read."""
    if not isinstance(rules, dict) or not rules:
        return None
    try:
        return loads(spelled(rules), file="the record")
    except PolicyError:
        return None


def _seen(event: Mapping[str, object]) -> list[ObservedCall]:
    tool, arguments = event.get("tool"), event.get("arguments")
    if not isinstance(tool, str) or not isinstance(arguments, Mapping):
        return []
    decision = event.get("decision")
    kind = decision.get("type") if isinstance(decision, Mapping) else None
    return [
        ObservedCall(
            number=int(_number(event.get("number"))),
            tool=tool,
            arguments=dict(arguments),
            asked=kind == "ask",
        )
    ]


def _served(event: Mapping[str, object]) -> list[str]:
    """Which of its tools the service used in a reply."""
    match event:
        case {"reply": {"message": {"blocks": [*blocks]}}}:
            pass
        case _:
            return []
    names = []
    for block in blocks:
        match block:
            case {"type": "opaque", "raw": {"type": "server_tool_use", "name": str() as name}}:
                # Code is run under names of its own: bash_code_execution, for one.
                names.append("code_execution" if name.endswith("code_execution") else name)
    return names


def _used(event: Mapping[str, object], *, turns: int) -> ObservedUse:
    tokens = event.get("used")
    counts = tokens if isinstance(tokens, Mapping) else {}
    read = sum(
        _number(counts.get(key))
        for key in ("input_tokens", "cache_read_tokens", "cache_write_tokens")
    )
    return ObservedUse(
        seconds=_number(event.get("seconds")),
        turns=turns,
        input_tokens=int(read),
        output_tokens=int(_number(counts.get("output_tokens"))),
    )


def _paths(rows: object) -> list[str]:
    found = (
        [row.get("path") for row in rows if isinstance(row, Mapping)]
        if isinstance(rows, list)
        else []
    )
    # A path that is no text can't stand in a policy; the directory above it would do, unknown.
    return [path for path in found if isinstance(path, str) and path]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float:
    """A count or a time; anything else, and what no run can have, is nought."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return value if 0 <= value < 1e12 else 0  # NaN and infinity fail it too
