"""Programs that start another program named in their own arguments, and how to see it.

Owns where in ``env``, ``timeout``, ``xargs``, ``find``, ``sh -c`` and their like the inner command
stands. What can't be seen is said to be unknown or refused; it is never taken as absent.
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from policies.options import Read, Spec, Takes, UnknownOption, read
from policies.words import UNKNOWN, Word, literal

N, V, M = Takes.NOTHING, Takes.VALUE, Takes.MAYBE
_INFO = {"help": N, "version": N}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inner:
    """What a wrapper starts: words, or text for a shell."""

    words: tuple[Word, ...] = ()
    text: Word | None = None
    assigned: tuple[tuple[str, Word | None], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a look at a wrapper's arguments found."""

    inner: tuple[Inner, ...] = ()
    script: Word | None = None
    """A file that a shell reads its commands from."""
    reads_stdin: bool = False
    """A shell that takes commands from its input."""
    writes: tuple[Word, ...] = ()


class Unseeable(Exception):
    """The inner command can't be told; the message says what to write instead."""


_SIMPLE: Mapping[str, Spec] = {
    "timeout": Spec(
        flags="vfp", valued="ks", operands=1,
        longs={"kill-after": V, "signal": V, "foreground": N, "preserve-status": N, "verbose": N,
               **_INFO},
    ),
    "nice": Spec(flags="0123456789", valued="n", longs={"adjustment": V, **_INFO}),
    "nohup": Spec(longs=_INFO),
    "setsid": Spec(flags="cfw", longs={"ctty": N, "fork": N, "wait": N, **_INFO}),
    "stdbuf": Spec(valued="ioe", longs={"input": V, "output": V, "error": V, **_INFO}),
    "ionice": Spec(flags="t", valued="cn", longs={"class": V, "classdata": V, "ignore": N}),
    "chrt": Spec(flags="abfior", operands=1),
    "taskset": Spec(flags="ac", operands=1),
    "time": Spec(
        flags="apvqV", valued="fo",
        longs={"append": N, "portability": N, "verbose": N, "quiet": N, "format": V, "output": V,
               **_INFO},
    ),
    "sudo": Spec(flags="EHnSbkiPA", valued="ugCprt"),
    "busybox": Spec(),
    "toybox": Spec(),
}  # fmt: skip

_ENV = Spec(
    flags="i0v", valued="uCSa",
    longs={"ignore-environment": N, "null": N, "unset": V, "chdir": V, "split-string": V,
           "debug": N, "block-signal": M, "default-signal": M, "ignore-signal": M, "argv0": V,
           "list-signal-handling": N, **_INFO},
)  # fmt: skip
_XARGS = Spec(
    flags="0rtpxo", valued="aEILndPs", maybe="eil",
    longs={"null": N, "arg-file": V, "delimiter": V, "eof": M, "replace": M, "max-lines": M,
           "max-args": V, "max-procs": V, "max-chars": V, "no-run-if-empty": N, "verbose": N,
           "interactive": N, "exit": N, "open-tty": N, "process-slot-var": V, "show-limits": N,
           **_INFO},
)  # fmt: skip
_SHELL = Spec(
    flags="cilrsDabefhkmnptuvxBCEHPT", valued="oO",
    longs={"norc": N, "noprofile": N, "login": N, "posix": N, "verbose": N, "restricted": N,
           "noediting": N, **_INFO},
)  # fmt: skip
_FLOCK = Spec(
    flags="sxeunoFv", valued="wEc", operands=1,
    longs={"shared": N, "exclusive": N, "unlock": N, "nonblock": N, "nb": N, "timeout": V,
           "wait": V, "conflict-exit-code": V, "close": N, "command": V, "no-fork": N,
           "verbose": N, **_INFO},
)  # fmt: skip
_WATCH = Spec(
    flags="bcdegtwpxrC", valued="nq",
    longs={"beep": N, "color": N, "no-color": N, "differences": M, "errexit": N, "chgexit": N,
           "interval": V, "precise": N, "no-title": N, "no-wrap": N, "exec": N, **_INFO},
)  # fmt: skip

_MAX_MARKS = 16
_MAX_TURNED_OFF = 64
_ASSIGNMENT = re.compile(r"([^=]+)=(.*)", re.DOTALL)
_FIND_STARTS = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_FIND_WRITES = frozenset({"-fprint", "-fprint0", "-fls", "-fprintf"})


def look(name: str, arguments: Sequence[Word]) -> Seen | None:
    """What a program of that name starts; None: it is no wrapper.

    Raises:
        Unseeable: it starts something that can't be told from the text.
    """
    looker = _LOOKERS.get(name)
    if looker is None:
        return None
    try:
        return looker(name, arguments)
    except UnknownOption as error:
        raise Unseeable(
            f"the option {error} of {name} is not known here, so what it starts can't be told: "
            "leave the option out"
        ) from error


def _simple(name: str, arguments: Sequence[Word]) -> Seen:
    spec = _SIMPLE[name]
    rest = read(arguments, spec).rest[spec.operands :]
    return Seen(inner=(Inner(words=rest),)) if rest else Seen()


def _env(_: str, arguments: Sequence[Word]) -> Seen:
    found = read(arguments, _ENV)
    rest = list(found.rest)
    texts = found.values("S", "split-string")
    if len(texts) > 1:
        # Real env has stopped reading options by the second: it is the first one's argument.
        raise Unseeable("env with more than one -S: write the command out")
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
    rest = rest[at:]
    return Seen(inner=(Inner(words=tuple(rest), assigned=tuple(assigned)),))


def _split(value: Word) -> list[Word]:
    text = value.value
    if text is None or "\\" in text or "$" in text:
        raise Unseeable("env -S with text that only the run can know: write the command out")
    try:
        parts = shlex.split(text, comments=True)
    except ValueError as error:
        raise Unseeable("env -S with unbalanced quotes: write the command out") from error
    if any(part.startswith("-") for part in parts[:1]):
        raise Unseeable("env -S with options in its text: write the command out")
    return [literal(part) for part in parts]


def _xargs(_: str, arguments: Sequence[Word]) -> Seen:
    found = read(arguments, _XARGS)
    rest = list(found.rest) or [literal("echo")]
    replaced = list({value.value or "{}" for value in found.values("I", "i", "replace")})
    if len(replaced) > _MAX_MARKS:
        raise Unseeable("xargs with that many -I: write one")
    if found.has("i", "replace") and not replaced:
        replaced = ["{}"]
    for mark in replaced:
        rest = [
            replace(word, value=None) if word.value is not None and mark in word.value else word
            for word in rest
        ]
    if not replaced:
        rest.append(UNKNOWN)
    return Seen(inner=(Inner(words=tuple(rest)),))


def _find(_: str, arguments: Sequence[Word]) -> Seen:
    inner: list[Inner] = []
    writes: list[Word] = []
    position = 0
    while position < len(arguments):
        value = arguments[position].value
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
            words.append(UNKNOWN_FILE if word.value is not None and "{}" in word.value else word)
        inner.append(Inner(words=tuple(words)))
    return Seen(inner=tuple(inner), writes=tuple(writes))


UNKNOWN_FILE = Word(text="{}", value=None)


def _shell(_: str, arguments: Sequence[Word]) -> Seen:
    options: list[tuple[str, Word | None]] = []
    rest = tuple(arguments)
    for _turned_off in range(_MAX_TURNED_OFF):
        found = read(rest, _SHELL)
        options += found.options
        rest = found.rest
        turned_off = rest[0].value or "" if rest else ""
        if not turned_off.startswith("+") or turned_off == "+":
            break
        rest = rest[2:] if turned_off in {"+o", "+O"} else rest[1:]
    else:
        raise Unseeable("a shell with that many options: write fewer")
    if any(word.value in {"-rcfile", "-init-file"} for word in arguments):
        raise UnknownOption("-rcfile")
    found = Read(options=tuple(options), rest=rest)
    if "expand_aliases" in [value.value for value in found.values("O")]:
        raise Unseeable("aliases change how text is read: leave expand_aliases out")
    if found.has("c"):
        if not rest:
            return Seen()
        return Seen(inner=(Inner(text=rest[0]),))
    if found.has("s") or not rest or rest[0].value == "-":
        return Seen(reads_stdin=not found.has("help", "version"))
    return Seen(script=rest[0])


def _flock(_: str, arguments: Sequence[Word]) -> Seen:
    found = read(arguments, _FLOCK)
    texts = [Inner(text=value) for value in found.values("c", "command")]
    rest = found.rest[1:]
    if rest and rest[0].value in {"-c", "--command"}:
        return Seen(inner=(Inner(text=rest[1] if len(rest) > 1 else literal("")),))
    return Seen(inner=(*texts, *((Inner(words=tuple(rest)),) if rest else ())))


def _watch(_: str, arguments: Sequence[Word]) -> Seen:
    found: Read = read(arguments, _WATCH)
    if found.has("x", "exec"):
        return Seen(inner=(Inner(words=found.rest),))
    values = [word.value for word in found.rest]
    if any(value is None for value in values):
        return Seen(inner=(Inner(text=UNKNOWN),))
    return Seen(inner=(Inner(text=literal(" ".join(value or "" for value in values))),))


_LOOKERS: Mapping[str, Callable[[str, Sequence[Word]], Seen]] = {
    **dict.fromkeys(_SIMPLE, _simple),
    **dict.fromkeys(("sh", "bash", "dash", "ash", "zsh", "ksh", "rbash"), _shell),
    "env": _env,
    "xargs": _xargs,
    "find": _find,
    "flock": _flock,
    "watch": _watch,
}
SHELLS = frozenset(name for name, looker in _LOOKERS.items() if looker is _shell)
