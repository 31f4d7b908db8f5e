"""One command text judged: every part of it in order, each with its verdict.

Owns the way from parsed shell to verdicts: through wrappers, builtins, functions and texts within
texts. Works off a list, not the stack; past a bound it denies, so no cap weakens it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policies import paths
from policies.commands import builtins, wrappers
from policies.commands import git as git_rules
from policies.commands.starting_options import command_values
from policies.commands.verdicts import (
    CommandVerdict,
    Rules,
    allowed,
    denied,
    is_command_variable,
    key_name,
    left_to_kernel,
    variable,
)
from policies.paths import PathStanding
from policies.policy import Policy
from policies.shell.arithmetic import Evaluation
from policies.shell.ast import Group, Nested, Redirect, SimpleCommand
from policies.shell.functions import NO_FUNCTIONS, Functions, kept
from policies.shell.parse import MAX_NODES, parse
from policies.shell.words import Word

MAX_LEVELS = 12
"""Of text within text (``sh -c "sh -c …"``)."""
MAX_CHAIN = 32
"""Of wrappers in front of each other (``env env …``)."""
MAX_STEPS = 400_000
_NODES_OF_A_TEXT = 20
"""What a text of no length costs, in nodes."""

# What dash, which is `sh` in most images, reads otherwise than bash, so that text becomes command.
_BASH_ONLY = re.compile(r"\$'|\[\[|\(\(")
_POSIX_SHELLS = frozenset({"sh", "dash", "ash", "busybox"})

_NETWORK_FILES = re.compile(r"/dev/(tcp|udp)(/|\Z)")
_READS = frozenset({"<", "<<<", "<&"})
_DUPLICATES = frozenset({">&", "<&", "<&-", ">&-"})
_PLAIN_TARGETS = frozenset({"/dev/null", "/dev/stderr", "/dev/stdout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of the command and what was found about it."""

    shown: str
    depth: int
    verdict: CommandVerdict | None
    """None: a construct that only holds others."""


@dataclass(frozen=True, slots=True)
class _Context:
    depth: int
    level: int
    offset: int
    functions: Functions
    moved: bool
    """The text changes the working directory somewhere."""
    is_program: bool = False
    """Started by another program, which knows no builtins."""
    chain: int = 0
    """Wrappers between the text and this command."""
    posix: bool = False
    """In a text for ``sh``."""


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    depth: int
    level: int
    posix: bool = False
    """It is for ``sh``, which may be dash."""


@dataclass(frozen=True, slots=True)
class _Started:
    words: tuple[Word, ...]
    context: _Context


_Task = _Text | _Started | tuple[SimpleCommand, _Context] | Part


def judge(policy: Policy, text: str, rules: Rules | None = None) -> Iterator[Part]:
    """Every part of a command text with its verdict, in the order of the text.

    Args:
        rules: asked about each program; None: the policy's own.
    """
    yield from _Judge(policy, rules or Rules(policy)).run(text)


class _Judge:
    def __init__(self, policy: Policy, rules: Rules) -> None:
        self._policy = policy
        self._rules = rules
        self._evaluation = Evaluation()
        self._nodes = 0
        """Of all texts so far; the bound is on work, so that the answer does not hang on time."""

    def run(self, text: str) -> Iterator[Part]:
        stack: list[_Task] = [_Text(text, 0, 0)]
        steps = 0
        while stack:
            task = stack.pop()
            steps += 1
            if steps > MAX_STEPS:
                yield _part("…", 0, denied("more commands than are checked: put them into a file"))
                return
            produced: list[_Task] = []
            match task:
                case Part():
                    yield task
                case _Text():
                    produced = self._text(task)
                case _Started():
                    produced = self._started(task.words, task.context)
                case (command, context):
                    produced = self._simple(command, context)
            produced.reverse()
            stack += produced
        note = self._evaluation.note()
        if note is not None:
            yield _part("…", 0, left_to_kernel(note))

    def _text(self, task: _Text) -> list[_Task]:
        if task.level > MAX_LEVELS:
            return [_part("…", task.depth, denied("shell within shell, too deep to be checked"))]
        parsed = parse(task.text)
        self._nodes += _NODES_OF_A_TEXT + parsed.weight
        if self._nodes > MAX_NODES:
            reason = "more text within text than is checked: put it into a file"
            return [_part("…", task.depth, denied(reason))]
        if parsed.problem is not None:
            reason = f"this can't be read with certainty: {parsed.problem}"
            return [_part(task.text, task.depth, denied(reason))]
        if task.posix and _BASH_ONLY.search(task.text):
            reason = "sh reads `$'`, `[[` and `((` otherwise than bash: write bash -c"
            return [_part(task.text, task.depth, denied(reason))]
        self._evaluation.add(task.text)
        functions = kept(parsed)
        moved = any(
            isinstance(item, SimpleCommand)
            and item.words
            and item.words[0].value in builtins.MOVING
            for item in parsed.items
        )
        tasks: list[_Task] = [
            _part("${…@P}", task.depth, left_to_kernel(note)) for note in parsed.notes
        ]
        for item in parsed.items:
            depth = task.depth + item.depth
            match item:
                case Group():
                    tasks.append(Part(shown=item.label, depth=depth, verdict=None))
                case Nested():
                    tasks.append(_Text(item.text, depth, task.level + 1, task.posix))
                case Redirect():
                    verdict = self._redirect(item, moved)
                    if verdict is not None:
                        shown = f"{item.operator}{item.target.text}"
                        tasks.append(_part(shown, depth + 1, verdict))
                case SimpleCommand():
                    context = _Context(
                        depth, task.level, item.offset, functions, moved, posix=task.posix
                    )
                    tasks.append((item, context))
        return tasks

    def _simple(self, command: SimpleCommand, context: _Context) -> list[_Task]:
        tasks = self._assigned(_referenced(command), context)
        words = command.words[_syntax(command.words) :]
        if words:
            tasks += self._started(words, context)
        return tasks

    def _assigned(
        self, assigned: Sequence[tuple[str, Word | None]], context: _Context
    ) -> list[_Task]:
        tasks: list[_Task] = []
        for name, value in assigned:
            verdict = variable(self._rules, name)
            if verdict is not None:
                tasks.append(_part(f"{name}=", context.depth, verdict))
            if is_command_variable(name) and value is not None and value.value:
                tasks.append(_Text(value.value, context.depth + 1, context.level + 1))
        return tasks

    def _started(  # noqa: PLR0911 - a return for each thing a name can be
        self, words: Sequence[Word], context: _Context
    ) -> list[_Task]:
        """A program or builtin with its arguments, and what it starts in its turn."""
        if not words:
            return []
        if context.chain > MAX_CHAIN:
            return [_part("…", 0, denied("more wrappers around each other than are checked"))]
        shown = " ".join(word.text for word in words[:12])[:200]
        name, arguments = words[0].value, words[1:]
        if name is None:
            reason = "only the run can know which program this is"
            return [_part(shown, context.depth, left_to_kernel(reason))]
        if not name or len(name) > paths.MAX_PATH:
            return [_part(shown, context.depth, denied("there is no program of that name"))]
        if context.functions.holds(name, context.offset):
            return [_part(shown, context.depth, allowed("a function of this text"))]
        if not words[0].quoted and name in builtins.RESERVED:
            reason = f"`{name}` stands where bash may read it otherwise"
            return [_part(shown, context.depth, denied(reason))]
        if name in builtins.ALL and not context.is_program:
            return self._builtin(name, shown, arguments, context)
        verdict = self._rules.program(name, arguments)
        tasks: list[_Task] = [_part(shown, context.depth, verdict)]
        return tasks + self._through(name.rpartition("/")[2], arguments, context)

    def _builtin(
        self, name: str, shown: str, arguments: Sequence[Word], context: _Context
    ) -> list[_Task]:
        if name == "alias" and context.posix:
            reason = "aliases change how sh reads text: leave them out"
            return [_part(shown, context.depth, denied(reason, "builtin"))]
        effect = builtins.effect(name, arguments)
        if effect.refused is not None:
            return [_part(shown, context.depth, denied(effect.refused, "builtin"))]
        verdict = self._rules.builtin(name, arguments) or allowed("builtin of bash")
        tasks: list[_Task] = [_part(shown, context.depth, verdict)]
        tasks += self._assigned(effect.assigned, context)
        if effect.script is not None:
            tasks.append(self._script(effect.script, context))
        for text in effect.texts:
            tasks.append(self._inner_text(text, context, posix=context.posix))
        if effect.words:
            inner = _deeper(context, is_program=name == "exec")
            tasks.append(_Started(tuple(effect.words), inner))
        return tasks

    def _through(self, name: str, arguments: Sequence[Word], context: _Context) -> list[_Task]:
        """What a program starts by its own arguments."""
        try:
            seen = wrappers.look(name, arguments)
        except wrappers.Unseeable as error:
            return [_part(name, context.depth + 1, denied(str(error)))]
        tasks: list[_Task] = []
        if seen is not None:
            inner = _deeper(context, is_program=True)
            for started in seen.inner:
                tasks += self._assigned(started.assigned, inner)
                if started.text is not None:
                    tasks.append(
                        self._inner_text(started.text, context, posix=name in _POSIX_SHELLS)
                    )
                elif started.words:
                    tasks.append(_Started(started.words, inner))
            if seen.script is not None:
                tasks.append(self._script(seen.script, context))
            if seen.reads_stdin:
                reason = "the commands come from its input"
                tasks.append(_part(f"{name} <input>", context.depth + 1, left_to_kernel(reason)))
            for target in seen.writes:
                verdict = self._write(target, context.moved)
                if verdict is not None:
                    tasks.append(_part(target.text, context.depth + 1, verdict))
        elif name == "git":
            tasks += self._git(arguments, _deeper(context, is_program=True))
        else:
            for value in command_values(name, arguments):
                tasks.append(self._inner_text(value, context))
        return tasks

    def _git(self, arguments: Sequence[Word], inner: _Context) -> list[_Task]:
        try:
            rest = git_rules.after_options(arguments)
        except git_rules.GitRefusal:
            # A rule without `args` lets it be; what it starts is the kernel's.
            return []
        texts, words = git_rules.started(rest)
        tasks: list[_Task] = [self._inner_text(text, inner) for text in texts]
        if words:
            tasks.append(_Started(words, inner))
        return tasks

    def _inner_text(self, text: Word, context: _Context, *, posix: bool = True) -> _Task:
        """Text for a shell; programs other than shells hand theirs to ``sh``."""
        if text.value is None:
            reason = "only the run can know this command"
            return _part(text.text, context.depth + 1, left_to_kernel(reason))
        return _Text(text.value, context.depth + 1, context.level + 1, posix)

    def _script(self, script: Word, context: _Context) -> Part:
        """A file that a shell reads its commands from."""
        key = key_name(self._policy, "exec_workspace")
        if self._policy.exec_workspace:
            return _part(script.text, context.depth + 1, left_to_kernel("a script's own commands"))
        reason = f"{script.text}: this policy runs no scripts"
        return _part(script.text, context.depth + 1, denied(reason, key))

    def _redirect(self, redirect: Redirect, moved: bool) -> CommandVerdict | None:  # noqa: FBT001
        target = redirect.target.value
        if target in _PLAIN_TARGETS:
            return None
        if target is not None and "/dev" in target and _NETWORK_FILES.match(paths.normal(target)):
            return denied("there is no network here, not through /dev/tcp either")
        if redirect.operator in _DUPLICATES and target is not None and set(target) & {"$", "`"}:
            return denied("bash expands the name after `>&` twice: write it with `>` and `2>&1`")
        if redirect.operator in _READS:
            return None
        if (
            redirect.operator in _DUPLICATES
            and target is not None
            and re.fullmatch(r"[0-9]+-?|-", target)
        ):
            return None
        return self._write(redirect.target, moved)

    def _write(self, target: Word, moved: bool) -> CommandVerdict | None:  # noqa: FBT001
        if target.value is None:
            return left_to_kernel("only the run can know which file this is")
        match paths.write_standing(self._policy, target.value, moved=moved):
            case PathStanding.INSIDE:
                return None
            case PathStanding.UNCERTAIN:
                return left_to_kernel("which file this is depends on the working directory")
            case PathStanding.OUTSIDE:
                return denied(
                    f"writing to {target.value} is not allowed: "
                    f"{_writable(self._policy)} may be written",
                    key_name(self._policy, "paths.write"),
                )


def _part(shown: str, depth: int, verdict: CommandVerdict) -> Part:
    return Part(shown=shown[:200], depth=depth, verdict=verdict)


def _writable(policy: Policy) -> str:
    tops = [paths.absolute(entry) for entry in policy.paths.write]
    return ", ".join([*tops[:8], *paths.SCRATCH, "home"])


def _deeper(context: _Context, *, is_program: bool) -> _Context:
    """Within a wrapper: bash starts a program there, never a function."""
    return _Context(
        depth=context.depth + 1,
        level=context.level,
        offset=context.offset,
        functions=NO_FUNCTIONS,
        moved=context.moved,
        is_program=is_program,
        chain=context.chain + 1,
        posix=context.posix,
    )


def _referenced(command: SimpleCommand) -> Sequence[tuple[str, Word | None]]:
    """What a command assigns; a name reference (``declare -n``) stands for what it names."""
    if not command.assigned:
        return ()
    flags = [word.value or "" for word in command.words[1:]]
    if not any(re.match(r"-[A-Za-z]*n", flag) for flag in flags):
        return command.assigned
    targets = [(value.value, None) for _, value in command.assigned if value and value.value]
    return (*command.assigned, *targets)


def _syntax(words: Sequence[Word]) -> int:
    """How many leading words bash takes as syntax before it looks for a program."""
    at = 0
    while at < len(words) and not words[at].quoted:
        following = words[at + 1].value if at + 1 < len(words) else None
        match words[at].value:
            # `time -f …` is the program: the keyword has only `-p`.
            case "time" if following in {"-p", "--"}:
                at += 2
            case "time" if following is None or not following.startswith("-"):
                at += 1
            case "coproc":
                at += 2 if at + 2 < len(words) and words[at + 2].value == "{" else 1
            case "{" | "!":
                at += 1
            case "}" if at + 1 == len(words):
                at += 1
            case _:
                break
    return at
