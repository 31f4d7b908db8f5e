"""A command explained: its parse as a tree, and for each part which rule and which layer decides.

Owns what `moonpool policy explain POLICY -- COMMAND` shows, as data and as text.
"""

from dataclasses import dataclass

from policies.decision import Allow, Ask, Call, Decision, Deny, decide
from policies.judging import Part, judge
from policies.policy import Policy
from policies.verdicts import Layer, Outcome

MAX_PARTS = 2000

_MARKS = {Outcome.ALLOW: "+", Outcome.ASK: "?", Outcome.DENY: "-"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    policy: str
    command: str
    decision: Decision
    parts: tuple[Part, ...]
    """In the order of the text; ``depth`` says what holds what."""
    cut: bool
    """There are more parts than are shown."""

    def as_data(self) -> dict[str, object]:
        """Plain data, for ``--json``."""
        return {
            "policy": self.policy,
            "command": self.command,
            "decision": type(self.decision).__name__.lower(),
            "rule": _rule(self.decision),
            "reason": "" if isinstance(self.decision, Allow) else self.decision.reason,
            "parts": [_part_data(part) for part in self.parts],
            "cut": self.cut,
        }

    def __str__(self) -> str:
        lines = [_part_line(part) for part in self.parts]
        if self.cut:
            lines.append(f"... and more than {MAX_PARTS} parts")
        return "\n".join([*lines, "", *_summary(self)])


def explain(policy: Policy, command: str) -> Explanation:
    """Judge every part of a command, also behind the first that is denied."""
    parts: list[Part] = []
    cut = False
    for part in judge(policy, command):
        if len(parts) >= MAX_PARTS:
            cut = True
            break
        parts.append(part)
    decision = decide(policy, Call(tool="bash", arguments={"command": command}))
    return Explanation(
        policy=policy.name, command=command, decision=decision, parts=tuple(parts), cut=cut
    )


def _rule(decision: Decision) -> str:
    return ", ".join(decision.rules) if isinstance(decision, Allow) else decision.rule


def _part_data(part: Part) -> dict[str, object]:
    verdict = part.verdict
    if verdict is None:
        return {"text": part.shown, "depth": part.depth, "kind": "construct"}
    return {
        "text": part.shown,
        "depth": part.depth,
        "kind": "command",
        "outcome": verdict.outcome.value,
        "layer": verdict.layer.value,
        "rule": verdict.rule,
        "reason": verdict.reason,
    }


def _part_line(part: Part) -> str:
    indent = "  " * min(part.depth, 24)
    shown = part.shown.replace("\n", "\\n")
    verdict = part.verdict
    if verdict is None:
        return f"  {indent}{shown}"
    by = "left to the kernel" if verdict.layer is Layer.KERNEL else verdict.rule
    reason = f": {verdict.reason}" if verdict.reason else ""
    return f"{_MARKS[verdict.outcome]} {indent}{shown}    [{by}{reason}]"


def _summary(explanation: Explanation) -> list[str]:
    match explanation.decision:
        case Allow(notes=notes):
            kernel = "; in part the kernel decides while it runs" if notes else ""
            return [f"{explanation.policy} allows this{kernel}."]
        case Ask(rule=rule, reason=reason):
            return [f"{explanation.policy} asks a person: {reason} ({rule})."]
        case Deny(rule=rule, reason=reason):
            return [f"{explanation.policy} denies this: {reason} ({rule})."]
