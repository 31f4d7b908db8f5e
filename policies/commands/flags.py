"""The flags that a program's arguments hold, as far as that can be told before it runs.

Owns what "present" means for a rule's ``forbid`` and ``require``:

- A long flag, ``--force``: that word, with ``=value`` or without, and every abbreviation of it
  (``--forc``) that is not known to be another option of the program. ``--no-force`` and
  ``--force-with-lease`` are other flags.
- A letter, ``-f``: alone or in a cluster (``-xvf``), up to a letter known to take the rest as its
  value. In ``-ofile`` of a program whose options are not known, ``f`` counts.
- A word of one dash or plus, ``-exec``, ``+x``: that word; ``--exec`` where that may be the same.
- Other spellings that `options.yaml` knows are the same flag: ``git push -f`` is ``--force``.
- The value of an option known to take one is no flag (``-m --force``), nor is what stands after
  ``--``, unless that ``--`` may itself be a value. Operands may stand before options.

It errs on the denying side: what may be a forbidden flag is one, what may be missing is missing.
An argument rule is a check, not enforcement: programs and paths are what the kernel holds.
"""

from collections.abc import Sequence

from policies.commands.getopt import OptionSpec, OptionStyle, TakesValue
from policies.frozen import dataclass
from policies.shell.words import Word, WordExpansion

_UNKNOWN = OptionSpec()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFlag:
    name: str
    """Without its value: ``-f``, ``--forc``, ``-exec``, ``+x``."""
    word: str
    """What it stands in, as it reads after quote removal."""
    sure: bool
    """It can't be the value of another option, or a file's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFlags:
    """What one program's arguments hold."""

    options: tuple[FoundFlag, ...]
    unclear: Word | None
    """The first word that may be any option: only the run knows it."""
    spec: OptionSpec | None

    def forbidden(self, flag: str) -> FoundFlag | None:
        """The option that is this flag, or may be."""
        wanted = _spellings(flag, self.spec)
        for option in self.options:
            if any(_may_be(option.name, spelling, self.spec) for spelling in wanted):
                return option
        return None

    def present(self, flag: str) -> bool:
        """Is the flag there for certain, written in full?"""
        wanted = _spellings(flag, self.spec)
        return any(option.sure and option.name in wanted for option in self.options)


def read_flags(arguments: Sequence[Word], spec: OptionSpec | None) -> FoundFlags:
    """Read the options among arguments; without a spec nothing is known about any of them."""
    scan = _Scan(arguments, spec)
    scan.run()
    return FoundFlags(options=tuple(scan.options.values()), unclear=scan.unclear, spec=spec)


def _spellings(flag: str, spec: OptionSpec | None) -> frozenset[str]:
    return (spec or _UNKNOWN).same.get(flag, frozenset()) | {flag}


def _may_be(name: str, flag: str, spec: OptionSpec | None) -> bool:
    if name == flag:
        return True
    style = (spec or _UNKNOWN).style
    loose = spec is None or style in {OptionStyle.WORDS, OptionStyle.JOINED}
    if flag.startswith("--"):
        if name.startswith("--"):
            another = spec is not None and name[2:] in spec.longs
            return not another and flag.startswith(name)
        # Go's and Java's: one dash or two are the same.
        return loose and name == flag[1:]
    if style is OptionStyle.JOINED and name.startswith(flag):
        return True
    return loose and len(flag) > 2 and name == f"-{flag}"


class _Scan:
    def __init__(self, arguments: Sequence[Word], spec: OptionSpec | None) -> None:
        self._arguments = arguments
        self._known = spec is not None
        self._spec = spec or _UNKNOWN
        self._one_dash = self._spec.style in {OptionStyle.WORDS, OptionStyle.JOINED}
        self._at = 0
        self._doubt = False
        """The next word may be the value of the option before it."""
        self._ended = False
        """A `--` may have ended the options."""
        self._done = False
        self.options: dict[tuple[str, bool], FoundFlag] = {}
        """By name and whether it is sure: the same again says nothing new."""
        self.unclear: Word | None = None

    def run(self) -> None:
        while self._at < len(self._arguments) and not self._done:
            word = self._arguments[self._at]
            self._at += 1
            if word.value is None:
                self._half_known(word)
            else:
                self._whole(word, word.value)

    def _whole(self, word: Word, text: str) -> None:
        if text == "--" and not self._one_dash:
            self._done = not self._doubt
            self._ended, self._doubt = True, False
        elif text == "--":
            self._doubt = False
        elif self._at == 1 and self._spec.dashless and text[:1] not in {"-", "+", ""}:
            for letter in text:
                self._add(f"-{letter}", text)
        elif text.startswith("--") and len(text) > 2:
            self._long(text)
        elif text[:1] in {"-", "+"} and len(text) > 1:
            self._short(text)
        else:
            self._operand(word, text)

    def _half_known(self, word: Word) -> None:
        """A word of which only the beginning is known, if that."""
        start = word.opening
        if word.becomes is WordExpansion.ANY or not start:
            self._unclear(word)
        elif start[0] not in "-+":
            self._operand(word, start)
        elif start.startswith("--"):
            name, equals, _ = start.partition("=")
            if equals:
                self._add(name, word.text)
            else:
                self._unclear(word)
        elif start[0] == "+" or not self._has_value(start):
            self._unclear(word)

    def _has_value(self, start: str) -> bool:
        """Does a cluster's known beginning reach an option that takes the rest?"""
        if self._one_dash:
            taken = self._spec.style is OptionStyle.JOINED and start[1:2] in {*self._spec.valued}
            self._add(start[:2] if taken else start, start)
            return taken
        for letter in start[1:]:
            self._add(f"-{letter}", start)
            if letter in self._spec.valued:
                return True
            if letter not in self._spec.flags:
                return False
        return False

    def _operand(self, word: Word, text: str) -> None:
        if self._spec.response and text.startswith("@"):
            self._unclear(word)
        if word.value is None and word.becomes is WordExpansion.ALIKE:
            # It may become no word at all.
            return
        self._done = self._spec.style is OptionStyle.LEADING and not self._doubt
        self._doubt = False

    def _long(self, text: str) -> None:
        name, equals, _ = text.partition("=")
        self._add(name, text)
        takes = TakesValue.NOTHING if equals else self._long_takes(name[2:])
        self._go_on(takes, sure=not self._doubt)

    def _short(self, text: str) -> None:
        if text.startswith("+") or self._one_dash:
            self._word(text)
            return
        if len(text) > 2:
            self._add(text.partition("=")[0], text, sure=not self._known)
        sure = not self._doubt
        self._doubt = False
        for index, letter in enumerate(text[1:], start=2):
            self._add(f"-{letter}", text, sure=sure)
            if letter in self._spec.flags:
                continue
            if letter in self._spec.valued and sure:
                if index == len(text):
                    self._value()
                self._done = self._done or letter in self._spec.last
                return
            # The rest may be its value, and so may the next word.
            sure = False
            self._doubt = self._doubt or letter not in self._spec.maybe

    def _word(self, text: str) -> None:
        """An option that is a word of its own."""
        for name in dict.fromkeys([text, *(text.partition(sign)[0] for sign in "=:,")]):
            self._add(name, text)
        if text.startswith("+"):
            for letter in dict.fromkeys(text[1:]):
                self._add(f"+{letter}", text)
            self._doubt = self._spec.style is OptionStyle.LEADING
            return
        takes = self._spec.words.get(text)
        if takes is None and len(text) == 2 and text[1] in self._spec.valued:
            takes = TakesValue.VALUE
        self._go_on(takes, sure=not self._doubt)

    def _go_on(self, takes: TakesValue | None, *, sure: bool) -> None:
        """Behind an option; ``sure``: it is one, and not itself the value of another."""
        self._doubt = takes is None or (takes is TakesValue.VALUE and not sure)
        if takes is TakesValue.VALUE and sure:
            self._value()

    def _value(self) -> None:
        """Pass over the next word, the value of the option before it."""
        if self._at >= len(self._arguments):
            return
        word = self._arguments[self._at]
        self._at += 1
        if word.value is None and word.becomes is not WordExpansion.ONE:
            # It may become none, and the word behind it be the value; or several.
            self._unclear(word)

    def _long_takes(self, name: str) -> TakesValue | None:
        longs = self._spec.longs
        if name in longs:
            return longs[name]
        if name.startswith("no-") and self._known:
            return TakesValue.NOTHING
        found = {takes for known, takes in longs.items() if known.startswith(name)}
        return found.pop() if len(found) == 1 else None

    def _unclear(self, word: Word) -> None:
        self.unclear = self.unclear or word
        self._doubt = True

    def _add(self, name: str, word: str, *, sure: bool = True) -> None:
        certain = sure and not self._doubt and not self._ended and self.unclear is None
        if (name, certain) not in self.options:
            self.options[name, certain] = FoundFlag(name=name, word=word, sure=certain)
