"""A proposed policy as a file: on lines that a person reads, each entry with what needed it.

What stands in it was a model's or a repository's: values go through the YAML library, ASCII only,
and a comment can't end before its line does.
"""

from collections.abc import Mapping, Sequence

import yaml

from policies import paths
from policies.file.scalars import spelled_duration
from policies.file.schema import as_data
from policies.frozen import dataclass
from policies.operator.needs import MAX_NAMED, VERIFY, Numbers, PolicyNeeds
from policies.policy import Policy

_MAX_EXAMPLES = 20

_LONGEST_EXAMPLE = 120
_LONGEST_COMMENT = 160

_GIT_READS = frozenset(
    {"status", "diff", "log", "show", "blame", "grep", "ls-files", "ls-tree", "cat-file",
     "rev-parse", "rev-list", "describe", "shortlog", "--version", "version", "help"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedUse:
    """What a run took."""

    seconds: float = 0
    longest_call_s: float = 0
    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyProposal:
    """What a proposed policy is written from."""

    needs: PolicyNeeds
    base: Policy
    """What the run had; what the calls do not decide is kept from it."""
    title: str
    used: ObservedUse
    server_tools: tuple[str, ...]

    def text(self, notes: Sequence[str], examples: Sequence[str]) -> str:
        """The file.

        Args:
            notes: what was left to the kernel, in words.
            examples: commands that the policy allows.
        """
        kept, needs = as_data(self.base), self.needs
        lines = [
            _comment(self.title),
            _comment("A proposal to be read: the smallest policy under which its calls pass."),
            _comment("Not in a record, so not in here: programs that other programs started, and"),
            _comment("files that commands wrote and that are in no patch."),
            "version: 1",
            "name: learned",
            f"image: {_quoted(self.base.image)}",
            "",
            *_entries("tools", {_quoted(tool): numbers for tool, numbers in needs.tools.items()}),
            f"server_tools: {_flow(list(self.server_tools))}",
            *_entries("commands", self._commands()),
            *(_comment(f"left out: {words}") for words in needs.left_out),
            f"exec_workspace: {str(bool(needs.scripts)).lower()}{_numbered(needs.scripts)}",
            "paths:",
            *("  " + line for line in _entries("write", self._written())),
            *(f"  {key}: {_flow(value)}" for key, value in kept["paths"].items() if key != "write"),
            *([_comment(needs.unwritten)] if needs.unwritten else []),
            "",
            *(_comment(f"left to the kernel in {note}") for note in dict.fromkeys(notes)),
            *self._bounds(kept),
            *(f"{key}: {_flow(kept[key])}" for key in ("workspace", "setup", "env", "export")),
            "examples:",
            f"  allow: {_flow(_shown(examples))}",
        ]
        return "\n".join(lines) + "\n"

    def _commands(self) -> dict[str, Numbers]:
        found: dict[str, Numbers] = {}
        for name, program in sorted(self.needs.programs.items()):
            entry: dict[str, object] = {"program": name}
            if not program.whole:
                entry["args"] = [list(begin) for begin in sorted(program.begins)]
            if not program.freely:
                entry["ask"] = True
            found[_quoted(name) if len(entry) == 1 else _flow(entry)] = program.calls
        return found

    def _written(self) -> dict[str, Numbers]:
        places = dict(self.needs.writes)
        git = self.needs.programs.get("git")
        if git is not None and self.needs.is_directory(".git"):
            writing = [begin for begin in git.begins if begin[:1] not in {(r,) for r in _GIT_READS}]
            if git.whole or writing:
                places.setdefault(".git", git.calls)
        return {
            _quoted(place): numbers
            for place, numbers in sorted(places.items())
            if not any(
                place != other and paths.within(paths.normal(place), paths.normal(other))
                for other in places
            )
        }

    def _bounds(self, kept: Mapping[str, Mapping[str, object]]) -> list[str]:
        limits, budget, used = self.base.limits, self.base.budget, self.used
        time_s = min(limits.time_s, _minutes(used.seconds * 2))
        command_s = min(limits.command_timeout_s, _minutes(used.longest_call_s * 2))
        bounds = {
            **kept["limits"],
            "command_timeout": spelled_duration(command_s),
            "time": spelled_duration(time_s),
        }
        most = {
            "turns": min(budget.turns, -(-max(used.turns, 1) // 5) * 5),
            "input_tokens": min(budget.input_tokens, _rounded(used.input_tokens)),
            "output_tokens": min(budget.output_tokens, _rounded(used.output_tokens)),
            "usd": budget.usd,
        }
        took = (
            f"it took {used.seconds:.0f} s, {used.turns} turns, {used.input_tokens} input and "
            f"{used.output_tokens} output tokens; the bounds are rounded up from that"
        )
        return [_comment(took), f"limits: {_flow(bounds)}", f"budget: {_flow(most)}"]


def _minutes(seconds: float) -> float:
    """Up to whole minutes: a second run is never as fast as the first to the second."""
    return max(60.0, -(-seconds // 60) * 60)


def _rounded(count: int) -> int:
    """A quarter more, up to whole thousands."""
    return max(1000, -(-count * 5 // 4000) * 1000)


def _shown(examples: Sequence[str]) -> list[str]:
    plain = (
        text
        for text in dict.fromkeys(examples)
        if text.isascii() and text.isprintable() and len(text) <= _LONGEST_EXAMPLE and text.strip()
    )
    return [text for text, _ in zip(plain, range(_MAX_EXAMPLES), strict=False)]


def _entries(key: str, found: Mapping[str, Numbers]) -> list[str]:
    if not found:
        return [f"{key}: []"]
    return [f"{key}:", *(f"  - {entry}{_numbered(calls)}" for entry, calls in found.items())]


def _numbered(calls: Numbers) -> str:
    if not calls:
        return ""
    known = [number for number in calls if number != VERIFY]
    shown = ", ".join(str(number) for number in known[:MAX_NAMED])
    more = " …" if len(known) > MAX_NAMED else ""
    words = [f"call{'s' if len(known) > 1 else ''} {shown}{more}"] if known else []
    words += ["--verify"] if VERIFY in calls else []
    return "  # " + ", ".join(words)


def _flow(value: object) -> str:
    """On one line, with nothing in it but ASCII."""
    text = yaml.safe_dump(value, default_flow_style=True, width=1 << 30, sort_keys=False)
    return text.strip()


def _quoted(text: str) -> str:
    return _flow([text])[1:-1]


def _comment(text: str) -> str:
    plain = text.encode("unicode_escape").decode("ascii")
    return f"# {plain[:_LONGEST_COMMENT]}"
