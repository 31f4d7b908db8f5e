"""What each call of a run needs of a policy: tools, programs, places that it writes to.

Owns finding that out, from the text of the calls and from what a policy still denies of them. The
calls were a model's: only names and paths that a policy may hold are kept. Refuses to know how a
policy is written (`proposal`).
"""

import posixpath
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from policies import paths
from policies.commands import git as git_rules
from policies.commands.judge import judge
from policies.commands.rules import (
    STANDARD_DIRECTORIES,
    CommandOutcome,
    CommandRules,
    key_name,
)
from policies.decision import Deny
from policies.file import scalars
from policies.frozen import dataclass
from policies.kernel.services import named_programs
from policies.policy import TOOLS, WRITING_TOOLS, Policy
from policies.shell.words import HOME, Word

MAX_NAMED = 8
"""Calls or files named in one place."""
VERIFY = 0
"""Number of the operator's verify command, which is no call."""
Numbers = dict[int, None]
"""Numbers of calls, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedCall:
    """One call of a run."""

    number: int
    tool: str
    arguments: Mapping[str, object]
    asked: bool = False
    """A person agreed to it."""


@dataclass(slots=True)
class LearnedProgram:
    """What the calls did with one program."""

    calls: Numbers = field(default_factory=dict)
    begins: dict[tuple[str, ...], Numbers] = field(default_factory=dict)
    """By the arguments that came first."""
    whole: bool = False
    """Its arguments are not bounded."""
    freely: bool = False
    """Some call used it without a person being asked."""


class PolicyNeeds:
    """What the calls of a run need of a policy, as it is found out."""

    def __init__(self, base: Policy, is_directory: Callable[[str], bool]) -> None:
        self._base_rules = CommandRules(base)
        self.is_directory = is_directory
        self._base = base
        self.tools: dict[str, Numbers] = {}
        """By name of the tool, as all that follows: the numbers of the calls that needed it."""
        self.programs: dict[str, LearnedProgram] = {}
        self.scripts: Numbers = {}
        """Calls that ran something of the workspace."""
        self.writes: dict[str, Numbers] = {}
        """By place, relative to the workspace or absolute."""
        self.left_out: list[str] = []
        """What can't be allowed, in words."""
        self.unwritten: str | None = None
        """A word on new files that are in no patch."""

    def take(self, call: ObservedCall) -> None:
        if call.tool not in TOOLS:
            self.left_out.append(f"call {call.number}: there is no tool {call.tool!r}")
            return
        self.tools.setdefault(call.tool, {})[call.number] = None
        if call.tool == "bash":
            command = call.arguments.get("command")
            if isinstance(command, str):
                self.take_command(call, command)
            else:
                self.left_out.append(f"call {call.number}: its command is not in the record")
        elif call.tool in WRITING_TOOLS:
            self.write(str(call.arguments.get("path", "")), call.number)

    def take_command(self, call: ObservedCall, command: str) -> None:
        for name, arguments in named_programs(self._base, command):
            self._program(call, name, arguments)

    def _program(self, call: ObservedCall, written: str, arguments: Sequence[Word]) -> None:
        name = written
        if "/" in written:
            path = paths.normal(written)
            if paths.within_any(path, (paths.WORKSPACE, *paths.SCRATCH, HOME)):
                self.scripts[call.number] = None
                return
            directory, base = posixpath.split(path)
            name = base if directory in STANDARD_DIRECTORIES else path
        try:
            name = scalars.program(name)
        except ValueError:
            self.left_out.append(f"call {call.number}: {written!r} is no name of a program")
            return
        known = self.programs.setdefault(name, LearnedProgram())
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
        if paths.within_any(place, (*paths.SCRATCH, HOME)):
            return
        if paths.within(place, paths.WORKSPACE):
            place = posixpath.relpath(place, paths.WORKSPACE)
            place = posixpath.dirname(place) or "."
            while place != "." and not (_is_place(place) and self.is_directory(place)):
                place = posixpath.dirname(place) or "."
        else:
            place = posixpath.dirname(place)
            if not _is_place(place):
                return
        numbers = self.writes.setdefault(place, {})
        if number is not None:
            numbers[number] = None

    def tell_left_out(self, files: Sequence[str]) -> None:
        tops = dict.fromkeys(path.lstrip("/").partition("/")[0] for path in files)
        if tops:
            shown = ", ".join(list(tops)[:MAX_NAMED]) + (" …" if len(tops) > MAX_NAMED else "")
            self.unwritten = f"new files in no patch: {shown}; add to write what the work needs"

    def mend(self, policy: Policy, call: ObservedCall, deny: Deny) -> bool:
        """Widen what still denies a call; False: nothing was found to widen."""
        if deny.rule == key_name(policy, "exec_workspace"):
            new = call.number not in self.scripts
            self.scripts[call.number] = None
            return new
        before = (len(self.writes), [program.whole for program in self.programs.values()])
        if deny.rule == key_name(policy, "paths.write"):
            for target in _denied_targets(policy, str(call.arguments.get("command", ""))):
                self.write(target, call.number)
        for program in self.programs.values():
            if call.number in program.calls:
                program.whole = True
        return before != (len(self.writes), [p.whole for p in self.programs.values()])


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
        decision = part.decision
        if decision is None or decision.outcome is not CommandOutcome.DENY:
            continue
        if decision.rule == key_name(policy, "paths.write"):
            try:
                words = shlex.split(part.shown.lstrip("<>&|0123456789"))
            except ValueError:
                words = []
            found += words[:1] or ["."]
    return found


def _is_place(text: str) -> bool:
    try:
        scalars.place(text)
    except ValueError:
        return False
    return True
