"""A command explained: its parse as a tree, and for each part which rule and which layer decides.

Owns what `moonpool policy explain POLICY -- COMMAND` shows, as data and as text.
"""

from collections.abc import Sequence

from policies.commands.judge import JudgedPart, judge
from policies.commands.rules import SAID, CommandDecision, CommandOutcome, DecidingLayer
from policies.decision import Allow, Ask, Call, Decision, Deny, decide
from policies.frozen import dataclass
from policies.policy import SERVER_TOOLS, Policy

MAX_PARTS = 2000

_MAX_GUIDES = 24
_MARKS = {CommandOutcome.ALLOW: "+", CommandOutcome.ASK: "?", CommandOutcome.DENY: "-"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    policy: str
    tool: str
    command: str
    """Or the path, of a file tool."""
    decision: Decision
    parts: tuple[JudgedPart, ...]
    """In the order of the text; ``depth`` says what holds what."""
    cut: bool
    """There are more parts than are shown."""

    def as_data(self) -> dict[str, object]:
        """Plain data, for ``--json``."""
        return {
            "policy": self.policy,
            "tool": self.tool,
            "command": self.command,
            "decision": type(self.decision).__name__.lower(),
            "rule": _rule(self.decision),
            "reason": "" if isinstance(self.decision, Allow) else self.decision.reason,
            "parts": [_part_data(part) for part in self.parts],
            "cut": self.cut,
        }

    def lines(self) -> list[tuple[CommandOutcome | None, str]]:
        """The tree line by line, each with what was decided; None: it decides nothing itself."""
        lines = [
            (part.decision.outcome if part.decision else None, _part_line(part, guide))
            for part, guide in zip(self.parts, _guides(self.parts), strict=True)
        ]
        if self.cut:
            lines.append((None, f"  ... and more than {MAX_PARTS} parts"))
        return lines

    @property
    def summary(self) -> str:
        match self.decision:
            case Allow(notes=notes):
                kernel = "; in part the kernel decides while it runs" if notes else ""
                return f"{self.policy} allows this{kernel}."
            case Ask(rule=rule, reason=reason):
                return f"{self.policy} asks a person: {reason} ({rule})."
            case Deny(rule=rule, reason=reason):
                return f"{self.policy} denies this: {reason} ({rule})."

    def __str__(self) -> str:
        return "\n".join([*(line for _, line in self.lines()), "", self.summary])


def explain(policy: Policy, command: str) -> Explanation:
    """Judge every part of a command, also behind the first that is denied."""
    parts: list[JudgedPart] = []
    cut = False
    for part in judge(policy, command):
        if len(parts) >= MAX_PARTS:
            cut = True
            break
        parts.append(part)
    decision = decide(policy, Call(tool="bash", arguments={"command": command}))
    return Explanation(
        policy=policy.name,
        tool="bash",
        command=command,
        decision=decision,
        parts=tuple(parts),
        cut=cut,
    )


def explain_file(policy: Policy, tool: str, path: str) -> Explanation:
    """What the policy says of a file tool and a path."""
    decision = decide(policy, Call(tool=tool, arguments={"path": path}))
    part = JudgedPart(shown=f"{tool} {path}", depth=0, decision=_file_decision(tool, decision))
    return Explanation(
        policy=policy.name, tool=tool, command=path, decision=decision, parts=(part,), cut=False
    )


def _file_decision(tool: str, decision: Decision) -> CommandDecision:
    if not isinstance(decision, Allow):
        reason = decision.reason
    elif tool in SERVER_TOOLS:
        reason = "the model's service runs it, where no kernel of ours holds anything"
    else:
        reason = "the kernel holds the paths too, for the tools' server"
    outcome = CommandOutcome(type(decision).__name__.lower())
    return CommandDecision(outcome=outcome, rule=_rule(decision), reason=reason)


def _rule(decision: Decision) -> str:
    return ", ".join(decision.rules) if isinstance(decision, Allow) else decision.rule


def _part_data(part: JudgedPart) -> dict[str, object]:
    decision = part.decision
    if decision is None:
        return {"text": part.shown, "depth": part.depth, "kind": "construct"}
    return {
        "text": part.shown,
        "depth": part.depth,
        "kind": "command",
        "outcome": decision.outcome.value,
        "layer": decision.layer.value,
        "rule": decision.rule,
        "reason": decision.reason,
    }


def _part_line(part: JudgedPart, guide: str) -> str:
    shown = part.shown.replace("\n", "⏎")
    decision = part.decision
    if decision is None:
        return f"  {guide}{shown}"
    said = SAID[decision.outcome]
    if decision.layer is DecidingLayer.KERNEL:
        said = "left to the kernel"
    else:
        said = f"{said} by the check, {decision.rule}"
    reason = f": {decision.reason}" if decision.reason else ""
    return f"{_MARKS[decision.outcome]} {guide}{shown}    [{said}{reason}]"


def _guides(parts: Sequence[JudgedPart]) -> list[str]:
    """What stands before each part, so that one sees what holds what."""
    guides: list[str] = []
    later: set[int] = set()
    for part in reversed(parts):
        depth = min(part.depth, _MAX_GUIDES)
        above = "".join("│  " if level in later else "   " for level in range(1, depth))
        own = ("├─ " if depth in later else "└─ ") if depth else ""
        guides.append(above + own)
        later = {level for level in later if level < depth} | {depth}
    guides.reverse()
    return guides
