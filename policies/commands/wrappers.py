"""Programs that start another one named in their own arguments or options, and how to see it.

Owns where in ``env``, ``timeout``, ``xargs``, ``find``, ``sh -c`` and their like the inner command
stands. What can't be seen is said to be unknown or refused; it is never taken as absent.
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile

from policies.commands.effects import READ_OTHERWISE, Effect, joined
from policies.commands.getopt import OptionSpec, ReadOptions, UnknownOption, read, stated
from policies.shell.words import UNKNOWN, Word, WordExpansion, literal


class UnseenCommand(Exception):
    """The inner command can't be told; the message says what to write instead."""


_INPUT = ("<input>", "the commands come from its input")
_START_UP = ("<start-up files>", "it carries out what stands in them first")
_OPTIONS = ("<options>", "only the run can know whether one of them starts a program")

_SIMPLE = (
    "timeout", "nice", "nohup", "setsid", "stdbuf", "ionice", "chrt", "taskset", "time", "sudo",
    "doas", "chroot", "strace", "ltrace", "unbuffer", "busybox", "toybox",
)  # fmt: skip
HANDING_ON = frozenset(
    {"timeout", "nice", "nohup", "setsid", "stdbuf", "time", "xargs", "find", "flock", "watch"}
)
"""Programs that hand their environment on, and exported functions with it, as it is."""
POSIX_SHELLS = frozenset({"sh", "dash", "ash", "busybox"})
_MAX_MARKS = 16
_MAX_OPERANDS = 64
_ASSIGNMENT = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_FIND_STARTS = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_FIND_WRITES = frozenset({"-fprint", "-fprint0", "-fls", "-fprintf"})


def look(name: str, arguments: Sequence[Word]) -> Effect | None:
    """What a program of that name starts; None: it is no wrapper.

    Raises:
        UnseenCommand: it starts something that can't be told from the text.
    """
    looker = _LOOKERS.get(name)
    if looker is None:
        return None
    try:
        return looker(name, arguments)
    except UnknownOption as error:
        raise UnseenCommand(
            f"the option {error} of {name} is not known here, so what it starts can't be told: "
            "leave the option out"
        ) from error


def imports_functions(arguments: Sequence[Word], texts: Sequence[Word]) -> bool:
    """Does a bash with these arguments, which carries out the texts, take its environment's?"""
    options = takewhile(lambda word: word not in texts, arguments)
    return not any(
        word.value is None or re.match(r"[-+][A-Za-z]*p|privileged", word.value) for word in options
    )


def _known(name: str) -> OptionSpec:
    spec = stated(name)
    assert spec is not None
    return spec


def _simple(name: str, arguments: Sequence[Word]) -> Effect:
    spec = _known(name)
    return Effect(commands=(read(arguments, spec).rest[spec.operands :],))


def _env(_: str, arguments: Sequence[Word]) -> Effect:
    found = read(arguments, _known("env"))
    rest = list(found.rest)
    texts = found.values("S", "split-string")
    if len(texts) > 1:
        # Real env has stopped reading options by the second: it is the first one's argument.
        raise UnseenCommand("env with more than one -S: write the command out")
    for value in texts:
        rest = [*_split(value), *rest]
    at = 1 if rest and rest[0].value == "-" else 0
    assigned: list[tuple[str, Word | None]] = []
    while at < len(rest):
        word = rest[at]
        pair = _ASSIGNMENT.fullmatch(word.value) if word.value is not None else None
        if pair is None:
            # `NAME="$x"`: the name is known though the value is not.
            known = re.match(r"([A-Za-z_][A-Za-z0-9_]*)=", word.text)
            if word.value is not None or known is None:
                break
            assigned.append((known[1], None))
        else:
            assigned.append((pair[1], literal(pair[2])))
        at += 1
    return Effect(assigned=tuple(assigned), commands=(tuple(rest[at:]),))


def _split(value: Word) -> list[Word]:
    text = value.value
    if text is None or "\\" in text or "$" in text:
        raise UnseenCommand("env -S with text that only the run can know: write the command out")
    try:
        parts = shlex.split(text, comments=True)
    except ValueError as error:
        raise UnseenCommand("env -S with unbalanced quotes: write the command out") from error
    if any(part.startswith("-") for part in parts[:1]):
        raise UnseenCommand("env -S with options in its text: write the command out")
    return [literal(part) for part in parts]


def _xargs(_: str, arguments: Sequence[Word]) -> Effect:
    found = read(arguments, _known("xargs"))
    rest = list(found.rest) or [literal("echo")]
    replaced = list({value.value or "{}" for value in found.values("I", "i", "replace")})
    if len(replaced) > _MAX_MARKS:
        raise UnseenCommand("xargs with that many -I: write one")
    if found.has("i", "replace") and not replaced:
        replaced = ["{}"]
    for mark in replaced:
        rest = [_filled(word, mark, "") for word in rest]
    # Of -I and these the last counts.
    if not replaced or found.has("L", "l", "max-lines", "n", "max-args"):
        rest.append(UNKNOWN)
    return Effect(commands=(tuple(rest),))


def _find(_: str, arguments: Sequence[Word]) -> Effect:
    commands: list[tuple[Word, ...]] = []
    writes: list[Word] = []
    # Names out of a file may be any.
    plain = all(word.value is not None and word.value != "-files0-from" for word in arguments)
    unclear = False
    position = 0
    while position < len(arguments):
        value = arguments[position].value
        unclear = unclear or (value is None and _may_be_option(arguments[position]))
        position += 1
        if value in _FIND_WRITES and position < len(arguments):
            writes.append(arguments[position])
        if value not in _FIND_STARTS:
            continue
        words: list[Word] = []
        while position < len(arguments):
            word = arguments[position]
            position += 1
            ends = word.value == ";" or (
                word.value == "+" and bool(words) and words[-1].text.strip("'\"\\") == "{}"
            )
            if ends:
                break
            words.append(_filled(word, "{}", "./" if plain else ""))
        commands.append(tuple(words))
    unseen = (_OPTIONS,) if unclear else ()
    return Effect(commands=tuple(commands), writes=tuple(writes), unseen=unseen)


def _may_be_option(word: Word) -> bool:
    """Of a word that only the run can know: may it begin with a dash, or become one that does?"""
    return word.becomes is WordExpansion.ANY or word.opening[:1] in {"", "-"}


def _filled(word: Word, mark: str, begins: str) -> Word:
    """A word in which the wrapper puts something for the mark, which is sure to begin so."""
    if word.value is None or mark not in word.value:
        return word
    before = word.value.partition(mark)[0]
    return replace(word, value=None, opening=before or begins, becomes=WordExpansion.ONE)


def _shell(name: str, arguments: Sequence[Word]) -> Effect:
    options: list[tuple[str, Word | None]] = []
    rest = tuple(arguments)
    for _turned_off in range(_MAX_OPERANDS):
        found = read(rest, _known("sh"))
        options += found.options
        rest = found.rest
        turned_off = rest[0].value or "" if rest else ""
        if not turned_off.startswith("+") or turned_off == "+":
            break
        rest = rest[2:] if turned_off in {"+o", "+O"} else rest[1:]
    else:
        raise UnseenCommand("a shell with that many options: write fewer")
    if {word.value for word in arguments} & {"-rcfile", "-init-file"}:
        raise UnknownOption("-rcfile")
    found = ReadOptions(options=tuple(options), rest=rest)
    named = {value.value for value in found.values("o", "O")}
    if named & {*READ_OTHERWISE, None} or found.has("k", "H", "posix"):
        raise UnseenCommand(f"{name} with an option that changes how text is read: leave it out")
    unseen = [_START_UP] if found.has("i", "l", "login") else []
    if found.has("c"):
        return Effect(texts=rest[:1], unseen=tuple(unseen))
    if found.has("s") or not rest or rest[0].value == "-":
        unseen += [_INPUT] if not found.has("help", "version") else []
        return Effect(unseen=tuple(unseen))
    return Effect(script=rest[0], unseen=tuple(unseen))


def _flock(_: str, arguments: Sequence[Word]) -> Effect:
    found = read(arguments, _known("flock"))
    rest = found.rest[1:]
    if rest and rest[0].value in {"-c", "--command"}:
        return Effect(texts=rest[1:2])
    return Effect(texts=tuple(found.values("c", "command")), commands=(rest,))


def _watch(_: str, arguments: Sequence[Word]) -> Effect:
    found = read(arguments, _known("watch"))
    if found.has("x", "exec"):
        return Effect(commands=(found.rest,))
    return Effect(texts=(joined(found.rest),))


def _su(name: str, arguments: Sequence[Word]) -> Effect:
    """``su [OPTIONS] [-] [USER [ARGUMENT…]]``: options may stand behind the user's name."""
    options: list[tuple[str, Word | None]] = []
    rest = tuple(arguments)
    operands: list[Word] = []
    while rest:
        if len(operands) > _MAX_OPERANDS:
            raise UnseenCommand("su with more words than are looked through: put them into a file")
        found = read(rest, _known("su"))
        options += found.options
        if name == "runuser" and ReadOptions(options=tuple(options), rest=()).has("u", "user"):
            return Effect(commands=(found.rest,))
        operands += found.rest[:1]
        rest = found.rest[1:]
    texts = ReadOptions(options=tuple(options), rest=()).values("c", "command", "session-command")
    if texts:
        return Effect(texts=tuple(texts))
    named = [word for word in operands if word.value != "-"]
    return Effect(script=named[1]) if len(named) > 1 else Effect(unseen=(_INPUT,))


def _script(_: str, arguments: Sequence[Word]) -> Effect:
    texts: list[Word] = []
    rest = tuple(arguments)
    for _operand in range(_MAX_OPERANDS):
        if not rest:
            break
        found = read(rest, _known("script"))
        texts += found.values("c", "command")
        rest = found.rest[1:]
    if rest:
        raise UnseenCommand("script with more words than are looked through: put them into a file")
    return Effect(texts=tuple(texts), unseen=() if texts else (_INPUT,))


_LOOKERS: Mapping[str, Callable[[str, Sequence[Word]], Effect]] = {
    **dict.fromkeys(_SIMPLE, _simple),
    **dict.fromkeys(("sh", "bash", "dash", "ash", "zsh", "ksh", "rbash"), _shell),
    "env": _env,
    "xargs": _xargs,
    "find": _find,
    "flock": _flock,
    "watch": _watch,
    "su": _su,
    "runuser": _su,
    "script": _script,
}

# Options whose value is a command, of programs that are on many lists: name to options.
_COMMAND_OPTIONS: dict[str, tuple[str, ...]] = {
    "tar": ("--checkpoint-action", "--to-command", "--use-compress-program", "--rsh-command",
            "--info-script", "--new-volume-script", "-I", "-F"),
    "sort": ("--compress-program",),
    "rg": ("--pre", "--hostname-bin"),
    "split": ("--filter",),
    "zip": ("-TT", "--unzip-command"),
}  # fmt: skip


def command_values(name: str, arguments: Sequence[Word]) -> list[Word]:
    """Values of options that are commands; abbreviated long options too."""
    options = _COMMAND_OPTIONS.get(name, ())
    found: list[Word] = []
    for index, word in enumerate(arguments if options else ()):
        value = word.value
        if value is None:
            # `--to-comm$x=y`: what of it is written may be enough for the program.
            if _may_be_option(word):
                found.append(word)
            continue
        if name == "tar" and re.match(r"-[A-Za-z]+[IF]" if index else r"-?[A-Za-z]+[IF]", value):
            # Among other letters, whose values decide which word is its own.
            found.append(UNKNOWN)
        if not value.startswith("-") or len(value) < 2:
            continue
        written, equals, attached = value.partition("=")
        for option in options:
            if option.startswith("--"):
                # Two letters: shorter ones are ambiguous to every program listed.
                if len(written) < 4 or not option.startswith(written):
                    continue
                command = literal(attached) if equals else _next(arguments, index)
            elif value.startswith(option):
                command = literal(value[2:]) if len(value) > 2 else _next(arguments, index)
            else:
                continue
            text = command.value
            if text is not None and option == "--checkpoint-action":
                if not text.startswith("exec="):
                    continue
                text = text.removeprefix("exec=")
            found.append(command if text is None else literal(text))
    return found


def _next(arguments: Sequence[Word], index: int) -> Word:
    return arguments[index + 1] if index + 1 < len(arguments) else literal("")
