"""One command text judged: every part of it in order, each with its decision.

Owns the way from parsed shell to decisions: through wrappers, builtins, functions and texts within
texts. Works off a list, not the stack; past a bound it denies, so no cap weakens it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from policies import paths
from policies.commands import effects, rules
from policies.commands.effects import (
    COMMAND_VARIABLES,
    Effect,
    redirection,
    variable,
    write,
)
from policies.commands.rules import CommandDecision, CommandRules, allowed, denied, left_to_kernel
from policies.frozen import dataclass
from policies.policy import Policy
from policies.shell import ast
from policies.shell.ast import Construct, NestedText, Redirect, SimpleCommand
from policies.shell.functions import NO_FUNCTIONS, DefinedFunctions, Surroundings, kept
from policies.shell.grammar import ArithmeticCheck
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


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedPart:
    """A piece of the command and what was found about it."""

    shown: str
    depth: int
    decision: CommandDecision | None
    """None: a construct that only holds others."""


@dataclass(frozen=True, slots=True)
class _Context:
    depth: int
    level: int
    offset: int
    functions: DefinedFunctions
    moved_to: frozenset[str] | None
    """Directories that the text changes to, as far as it says them; None: it changes to none."""
    is_program: bool = False
    """Started by another program, which knows no builtins."""
    chain: int = 0
    """Wrappers between the text and this command."""
    posix: bool = False
    """In a text for ``sh``."""
    handing_on: DefinedFunctions = NO_FUNCTIONS
    """Functions that a bash started here may have, where they were exported."""


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    depth: int
    level: int
    posix: bool = False
    """It is for ``sh``, which may be dash."""
    around: Surroundings | None = None
    """None: nothing of the text around it is handed on to this one."""


@dataclass(frozen=True, slots=True)
class _Started:
    words: tuple[Word, ...]
    context: _Context


_Task = _Text | _Started | tuple[SimpleCommand, _Context] | JudgedPart


def judge(policy: Policy, text: str, rules: CommandRules | None = None) -> Iterator[JudgedPart]:
    """Every part of a command text with its decision, in the order of the text.

    Args:
        rules: asked about each program; None: the policy's own.
    """
    yield from _Judge(policy, rules or CommandRules(policy)).run(text)


class _Judge:
    def __init__(self, policy: Policy, rules: CommandRules) -> None:
        self._policy = policy
        self._rules = rules
        self._evaluation = ArithmeticCheck()
        self._nodes = 0
        """Of all texts so far; the bound is on work, so that the answer does not hang on time."""

    def run(self, text: str) -> Iterator[JudgedPart]:
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
                case JudgedPart():
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
        functions = kept(parsed, task.around)
        moving = [
            item.words[1:]
            for item in parsed.items
            if isinstance(item, SimpleCommand)
            and item.words
            and item.words[0].value in effects.MOVING
        ]
        moved_to = frozenset(word.value for words in moving for word in words if word.value)
        context = _Context(
            task.depth,
            task.level,
            0,
            functions,
            moved_to if moving else None,
            posix=task.posix,
            handing_on=functions,
        )
        tasks: list[_Task] = [
            _part(form, task.depth, left_to_kernel("it carries out text that stands elsewhere"))
            for form in sorted(parsed.notes)
        ]
        for item in parsed.items:
            depth = task.depth + item.depth
            match item:
                case Construct():
                    tasks.append(JudgedPart(shown=item.label, depth=depth, decision=None))
                case NestedText():
                    tasks.append(_Text(item.text, depth, task.level + 1, task.posix))
                case Redirect():
                    decision = redirection(self._policy, item, moved=bool(moving))
                    if decision is not None:
                        shown = f"{item.operator}{item.target.text}"
                        tasks.append(_part(shown, depth + 1, decision))
                case SimpleCommand():
                    here = replace(context, depth=depth, offset=item.offset)
                    tasks.append((item, here))
        return tasks

    def _simple(self, command: SimpleCommand, context: _Context) -> list[_Task]:
        tasks = self._assigned(ast.assigned(command), context)
        words = command.words[ast.syntax_length(command.words) :]
        if words:
            tasks += self._started(words, context)
        return tasks

    def _assigned(
        self, assigned: Sequence[tuple[str, Word | None]], context: _Context
    ) -> list[_Task]:
        tasks: list[_Task] = []
        for name, value in assigned:
            decision = variable(self._rules, name)
            if decision is not None:
                tasks.append(_part(f"{name}=", context.depth, decision))
            if name in COMMAND_VARIABLES and value is not None and value.value:
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
        if context.functions.may_hold(name, context.offset):
            reason = "a function, if what defines it does so"
            return [_part(shown, context.depth, left_to_kernel(reason))]
        if not words[0].quoted and name in ast.RESERVED:
            reason = f"`{name}` stands where bash may read it otherwise"
            return [_part(shown, context.depth, denied(reason))]
        if name in effects.ALL and not context.is_program:
            return self._builtin(name, shown, arguments, context)
        decision = self._rules.started(name, arguments, context.moved_to)
        tasks: list[_Task] = [_part(shown, context.depth, decision)]
        return tasks + self._through(name.rpartition("/")[2], arguments, context)

    def _builtin(
        self, name: str, shown: str, arguments: Sequence[Word], context: _Context
    ) -> list[_Task]:
        if name == "alias" and context.posix:
            reason = "aliases change how sh reads text: leave them out"
            return [_part(shown, context.depth, denied(reason, "builtin"))]
        effect = effects.effect(name, arguments)
        if effect.refused is not None:
            return [_part(shown, context.depth, denied(effect.refused, "builtin"))]
        decision = self._rules.by_arguments(name, arguments) or allowed("builtin of bash")
        tasks: list[_Task] = [_part(shown, context.depth, decision)]
        tasks += self._assigned(effect.assigned, context)
        # A trap's text is carried out behind it, and sees what is defined by then.
        at = context.functions.next_call(context.offset + 1) if name == "trap" else context.offset
        around = Surroundings(functions=context.functions, at=at)
        inner = _deeper(context, is_program=name == "exec")
        return tasks + self._effect(
            name, effect, context, inner, posix=context.posix, around=around
        )

    def _through(self, name: str, arguments: Sequence[Word], context: _Context) -> list[_Task]:
        """What a program starts by its own arguments."""
        from policies.commands import wrappers  # noqa: PLC0415 - builtins need it not

        try:
            effect = wrappers.look(name, arguments)
        except wrappers.UnseenCommand as error:
            return [_part(name, context.depth + 1, denied(str(error)))]
        inner = _deeper(context, is_program=True, hands_on=name in wrappers.HANDING_ON)
        if effect is not None:
            posix = name in wrappers.POSIX_SHELLS
            imports = name == "bash" and wrappers.imports_functions(arguments, effect.texts)
            handed, at = context.handing_on, context.offset
            around = Surroundings(functions=handed, at=at, exported_only=True) if imports else None
            tasks = self._assigned(effect.assigned, inner)
            return tasks + self._effect(name, effect, context, inner, posix=posix, around=around)
        if name == "git":
            from policies.commands import git as git_rules  # noqa: PLC0415 - for git only

            return self._effect(name, git_rules.started(arguments), inner, inner)
        texts = wrappers.command_values(name, arguments)
        return self._effect(name, Effect(texts=tuple(texts)), context, inner)

    def _effect(
        self,
        name: str,
        effect: Effect,
        context: _Context,
        inner: _Context,
        *,
        posix: bool = True,
        around: Surroundings | None = None,
    ) -> list[_Task]:
        """What a builtin or a program does by its arguments, but for assigning variables.

        Args:
            inner: where the commands run that it starts.
            posix: it hands its texts to ``sh``, as programs other than shells do.
            around: what its texts see of the text around them.
        """
        tasks: list[_Task] = []
        if effect.script is not None:
            tasks.append(self._script(effect.script, context))
        tasks += [_inner_text(text, context, posix=posix, around=around) for text in effect.texts]
        tasks += [_Started(words, inner) for words in effect.commands if words]
        for source, reason in effect.unseen:
            tasks.append(_part(f"{name} {source}", context.depth + 1, left_to_kernel(reason)))
        for target in effect.writes:
            decision = write(self._policy, target, moved=context.moved_to is not None)
            if decision is not None:
                tasks.append(_part(target.text, context.depth + 1, decision))
        return tasks

    def _script(self, script: Word, context: _Context) -> JudgedPart:
        """A file that a shell reads its commands from."""
        key = rules.key_name(self._policy, "exec_workspace")
        if self._policy.exec_workspace:
            return _part(script.text, context.depth + 1, left_to_kernel("a script's own commands"))
        reason = f"{script.text}: this policy runs no scripts"
        return _part(script.text, context.depth + 1, denied(reason, key))


def _inner_text(
    text: Word, context: _Context, *, posix: bool, around: Surroundings | None
) -> _Task:
    if text.value is None:
        reason = "only the run can know this command"
        return _part(text.text, context.depth + 1, left_to_kernel(reason))
    return _Text(text.value, context.depth + 1, context.level + 1, posix, around)


def _part(shown: str, depth: int, decision: CommandDecision) -> JudgedPart:
    return JudgedPart(shown=shown[:200], depth=depth, decision=decision)


def _deeper(context: _Context, *, is_program: bool, hands_on: bool = False) -> _Context:
    """Within a wrapper: bash starts a program there, never a function."""
    return replace(
        context,
        depth=context.depth + 1,
        functions=NO_FUNCTIONS,
        is_program=is_program,
        chain=context.chain + 1,
        handing_on=context.handing_on if hands_on else NO_FUNCTIONS,
    )
