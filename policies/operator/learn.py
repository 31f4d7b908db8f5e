"""From the calls of a run to the smallest policy under which they would have passed.

Owns what a call needs, and the proposal as YAML, each entry with the numbers of the calls that
needed it. The calls were a model's: nothing of them gets into the file but names and paths that a
policy may hold, quoted, and ASCII in comments. Refuses to know the record (`agent.lessons`).
"""

import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from policies import paths
from policies.commands import git as git_rules
from policies.commands.judge import judge
from policies.commands.verdicts import (
    STANDARD_DIRECTORIES,
    CommandOutcome,
    CommandVerdict,
    Rules,
    allowed,
    key_name,
)
from policies.decision import Allow, Ask, Call, Decision, Deny, decide
from policies.file import names
from policies.file.quantities import spelled_duration, spelled_size
from policies.file.rendering import as_data
from policies.loading import loads
from policies.operator.proposal import (
    MAX_NUMBERS,
    VERIFY,
    comment,
    entries,
    flow,
    minutes,
    numbered,
    quoted,
    rounded,
    shown,
)
from policies.policy import SERVER_TOOLS, TOOLS, Policy
from policies.shell.words import HOME, Word

_PASSES = 6
_WRITING = frozenset({"write_file", "edit_file", "delete_file"})
_GIT_READS = frozenset(
    {"status", "diff", "log", "show", "blame", "grep", "ls-files", "ls-tree", "cat-file",
     "rev-parse", "rev-list", "describe", "shortlog", "--version", "version", "help"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedCall:
    """One call of a run."""

    number: int
    tool: str
    arguments: Mapping[str, object]
    asked: bool = False
    """A person agreed to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedUse:
    """What a run took."""

    seconds: float = 0
    longest_call_s: float = 0
    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


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
    draft = _Draft(base, is_directory, tuple(tool for tool in SERVER_TOOLS if tool in server_tools))
    for call in calls:
        draft.take(call)
    if verify is not None:
        draft.take_command(ObservedCall(number=VERIFY, tool="bash", arguments={}), verify)
    for path in changed:
        draft.write(path, None)
    draft.tell_left_out(left_out)
    policy, text, decisions = _built(draft, calls, title, used)
    for _ in range(_PASSES):
        missing = [
            (call, decision)
            for call, decision in zip(calls, decisions, strict=True)
            if isinstance(decision, Deny)
        ]
        # Every one of them, not only up to the first that is mended.
        if sum(draft.mend(policy, call, deny) for call, deny in missing) == 0:
            break
        policy, text, decisions = _built(draft, calls, title, used)
    unmet = tuple(
        f"call {call.number}: {decision.reason}"
        for call, decision in zip(calls, decisions, strict=True)
        if isinstance(decision, Deny) or (isinstance(decision, Ask) and not call.asked)
    )
    return LearnedPolicy(text=text, policy=policy, unmet=unmet)


def _built(
    draft: "_Draft", calls: Sequence[ObservedCall], title: str, used: ObservedUse
) -> tuple[Policy, str, list[Decision]]:
    policy = loads(draft.text(title, used, (), ()), file="learned.yaml")
    decisions = [decide(policy, Call(tool=c.tool, arguments=c.arguments)) for c in calls]
    notes = [
        f"call {call.number}: {note}"
        for call, decision in zip(calls, decisions, strict=True)
        if isinstance(decision, Allow)
        for note in decision.notes
    ]
    examples = [
        str(call.arguments.get("command"))
        for call, decision in zip(calls, decisions, strict=True)
        if call.tool == "bash" and isinstance(decision, Allow)
    ]
    text = draft.text(title, used, notes, examples)
    return loads(text, file="learned.yaml"), text, decisions


class _Witness(Rules):
    """Allows every program, and remembers which there were."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.seen: list[tuple[str, tuple[Word, ...]]] = []

    def program(self, name: str, arguments: Sequence[Word]) -> CommandVerdict:
        self.seen.append((name, tuple(arguments)))
        return allowed("seen")


@dataclass(slots=True)
class _LearnedProgram:
    calls: dict[int, None] = field(default_factory=dict)
    begins: dict[tuple[str, ...], dict[int, None]] = field(default_factory=dict)
    whole: bool = False
    """Its arguments are not bounded."""
    freely: bool = False
    """Some call used it without a person being asked."""


class _Draft:
    """What the calls need, as it is found out."""

    def __init__(
        self, base: Policy, is_directory: Callable[[str], bool], server_tools: tuple[str, ...]
    ) -> None:
        self._base = base
        self._served = server_tools
        self._base_rules = Rules(base)
        self._is_directory = is_directory
        self._open = replace(
            base,
            tools=TOOLS,
            commands=(),
            exec_workspace=True,
            paths=replace(base.paths, write=("/",), read=None),
            bounds=None,
        )
        self._tools: dict[str, dict[int, None]] = {}
        self._programs: dict[str, _LearnedProgram] = {}
        self._scripts: dict[int, None] = {}
        self._writes: dict[str, dict[int, None]] = {}
        self._left_out: list[str] = []
        self._unwritten: str | None = None

    def take(self, call: ObservedCall) -> None:
        if call.tool not in TOOLS:
            self._left_out.append(f"call {call.number}: there is no tool {call.tool!r}")
            return
        self._tools.setdefault(call.tool, {})[call.number] = None
        if call.tool == "bash":
            command = call.arguments.get("command")
            if isinstance(command, str):
                self.take_command(call, command)
            else:
                self._left_out.append(f"call {call.number}: its command is not in the record")
        elif call.tool in _WRITING:
            self.write(str(call.arguments.get("path", "")), call.number)

    def take_command(self, call: ObservedCall, command: str) -> None:
        witness = _Witness(self._open)
        for _ in judge(self._open, command, witness):
            pass
        for name, arguments in witness.seen:
            self._program(call, name, arguments)

    def _program(self, call: ObservedCall, written: str, arguments: Sequence[Word]) -> None:
        name = written
        if "/" in written:
            path = paths.normal(written)
            if any(paths.within(path, top) for top in (paths.WORKSPACE, *paths.SCRATCH, HOME)):
                self._scripts[call.number] = None
                return
            directory, base = posixpath.split(path)
            name = base if directory in STANDARD_DIRECTORIES else path
        try:
            name = names.program(name)
        except ValueError:
            self._left_out.append(f"call {call.number}: {written!r} is no name of a program")
            return
        known = self._programs.setdefault(name, _LearnedProgram())
        known.calls[call.number] = None
        asks = self._base_rules.program(name, arguments).outcome is CommandOutcome.ASK
        known.freely = known.freely or not (asks or call.asked)
        begin = _git_begin(arguments) if name == "git" else None
        if begin is None:
            known.whole = True
        else:
            known.begins.setdefault(begin, {})[call.number] = None

    def write(self, path: str, number: int | None) -> None:
        """Something wrote there: a rule on the nearest directory that was there to have one."""
        place = paths.normal(path)
        if any(paths.within(place, top) for top in (*paths.SCRATCH, HOME)):
            return
        if paths.within(place, paths.WORKSPACE):
            place = posixpath.relpath(place, paths.WORKSPACE)
            place = posixpath.dirname(place) or "."
            while place != "." and not (_is_place(place) and self._is_directory(place)):
                place = posixpath.dirname(place) or "."
        else:
            place = posixpath.dirname(place)
            if not _is_place(place):
                return
        numbers = self._writes.setdefault(place, {})
        if number is not None:
            numbers[number] = None

    def tell_left_out(self, files: Sequence[str]) -> None:
        tops = dict.fromkeys(path.lstrip("/").partition("/")[0] for path in files)
        if tops:
            shown = ", ".join(list(tops)[:MAX_NUMBERS]) + (" …" if len(tops) > MAX_NUMBERS else "")
            self._unwritten = f"new files in no patch: {shown}; add to write what the work needs"

    def mend(self, policy: Policy, call: ObservedCall, deny: Deny) -> bool:
        """Widen what still denies a call; False: nothing was found to widen."""
        if deny.rule == key_name(policy, "exec_workspace"):
            new = call.number not in self._scripts
            self._scripts[call.number] = None
            return new
        before = (len(self._writes), [program.whole for program in self._programs.values()])
        if deny.rule == key_name(policy, "paths.write"):
            for target in _denied_targets(policy, str(call.arguments.get("command", ""))):
                self.write(target, call.number)
        for program in self._programs.values():
            if call.number in program.calls:
                program.whole = True
        return before != (len(self._writes), [p.whole for p in self._programs.values()])

    # -- as a file ---------------------------------------------------------------------------

    def text(
        self, title: str, used: ObservedUse, notes: Sequence[str], examples: Sequence[str]
    ) -> str:
        kept = as_data(self._base)
        lines = [
            comment(title),
            comment("A proposal to be read: the smallest policy under which its calls pass."),
            comment("Not in a record, so not in here: programs that other programs started, and"),
            comment("files that commands wrote and that are in no patch."),
            "version: 1",
            "name: learned",
            f"image: {quoted(self._base.image)}",
            "",
            *entries("tools", {quoted(tool): numbers for tool, numbers in self._tools.items()}),
            f"server_tools: {flow(list(self._served))}",
            *entries("commands", self._commands()),
            *(comment(f"left out: {words}") for words in self._left_out),
            f"exec_workspace: {str(bool(self._scripts)).lower()}{numbered(self._scripts)}",
            "paths:",
            *("  " + line for line in entries("write", self._written())),
            *(f"  {key}: {flow(value)}" for key, value in kept["paths"].items() if key != "write"),
            *([comment(self._unwritten)] if self._unwritten else []),
            "",
            *(comment(f"left to the kernel in {note}") for note in dict.fromkeys(notes)),
            *self._bounds(used, kept),
            *(f"{key}: {flow(kept[key])}" for key in ("workspace", "setup", "env", "export")),
            "examples:",
            f"  allow: {flow(shown(examples))}",
        ]
        return "\n".join(lines) + "\n"

    def _commands(self) -> dict[str, dict[int, None]]:
        found: dict[str, dict[int, None]] = {}
        for name, program in sorted(self._programs.items()):
            entry: dict[str, object] = {"program": name}
            if not program.whole:
                entry["args"] = [list(begin) for begin in sorted(program.begins)]
            if not program.freely:
                entry["ask"] = True
            found[quoted(name) if len(entry) == 1 else flow(entry)] = program.calls
        return found

    def _written(self) -> dict[str, dict[int, None]]:
        places = dict(self._writes)
        git = self._programs.get("git")
        if git is not None and self._is_directory(".git"):
            writing = [begin for begin in git.begins if begin[:1] not in {(r,) for r in _GIT_READS}]
            if git.whole or writing:
                places.setdefault(".git", git.calls)
        return {
            quoted(place): numbers
            for place, numbers in sorted(places.items())
            if not any(
                place != other and paths.within(paths.absolute(place), paths.absolute(other))
                for other in places
            )
        }

    def _bounds(self, used: ObservedUse, kept: Mapping[str, Mapping[str, object]]) -> list[str]:
        limits, budget = self._base.limits, self._base.budget
        time_s = min(limits.time_s, minutes(used.seconds * 2))
        command_s = min(limits.command_timeout_s, minutes(used.longest_call_s * 2))
        bounds = {
            **kept["limits"],
            "command_timeout": spelled_duration(command_s),
            "output": spelled_size(limits.output_bytes),
            "time": spelled_duration(time_s),
        }
        most = {
            "turns": min(budget.turns, -(-max(used.turns, 1) // 5) * 5),
            "input_tokens": min(budget.input_tokens, rounded(used.input_tokens)),
            "output_tokens": min(budget.output_tokens, rounded(used.output_tokens)),
            "usd": budget.usd,
        }
        took = (
            f"it took {used.seconds:.0f} s, {used.turns} turns, {used.input_tokens} input and "
            f"{used.output_tokens} output tokens; the bounds are rounded up from that"
        )
        return [comment(took), f"limits: {flow(bounds)}", f"budget: {flow(most)}"]


def _git_begin(arguments: Sequence[Word]) -> tuple[str, ...] | None:
    """The subcommand, and of `config` what is asked for; None where that can't be known."""
    try:
        rest = git_rules.after_options(arguments)
    except git_rules.GitRefusal:
        return None
    first = rest[0].value if rest else None
    if first is None:
        return None
    length = 2 if first == "config" else 1
    begin = tuple(word.value for word in rest[:length])
    known = tuple(value for value in begin if value is not None and value.isprintable())
    return known if len(known) == len(begin) and all(known) else None


def _denied_targets(policy: Policy, command: str) -> list[str]:
    found = []
    for part in judge(policy, command):
        verdict = part.verdict
        if verdict is None or verdict.outcome is not CommandOutcome.DENY:
            continue
        if verdict.rule == key_name(policy, "paths.write"):
            try:
                words = shlex.split(part.shown.lstrip("<>&|0123456789"))
            except ValueError:
                words = []
            found += words[:1] or ["."]
    return found


def _is_place(text: str) -> bool:
    try:
        names.place(text)
    except ValueError:
        return False
    return True
