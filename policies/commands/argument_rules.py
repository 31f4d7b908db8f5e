"""Whether one command rule fits a program's arguments: ``args``, then ``forbid``, then ``require``.

``args`` and ``require`` select: where they are not met the rule says nothing, and another rule for
the same program may allow. ``forbid`` vetoes: where ``args`` are met, or may be, a forbidden flag
is denied whatever other rules say.
"""

from collections.abc import Sequence
from enum import Enum

from policies.commands import git as git_rules
from policies.commands.flags import FoundFlag, FoundFlags, read_flags
from policies.commands.getopt import OptionSpec, read, stated
from policies.frozen import dataclass
from policies.policy import CommandRule, Forbids
from policies.shell.words import Word, WordExpansion, literal


class RuleFit(Enum):
    FITS = "fits"
    OTHER = "other"
    """The arguments are others: the rule says nothing."""
    MAYBE = "maybe"
    """Only the run can know whether they are the rule's: it allows nothing, and may veto."""
    VETO = "veto"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleAnswer:
    fit: RuleFit
    reason: str = ""
    """Why not, for the model; empty where that the arguments are others says it all."""


_FITS = RuleAnswer(fit=RuleFit.FITS)
_OTHER = RuleAnswer(fit=RuleFit.OTHER)


def fitted(rule: CommandRule, name: str, arguments: Sequence[Word]) -> RuleAnswer:
    """Does the rule fit a program of that name (or path) with these arguments?"""
    base = name.rpartition("/")[2]
    known = _by_args(rule, base, arguments) if rule.args is not None else _FITS
    if known.fit is RuleFit.OTHER or not (rule.forbid or rule.require):
        return known
    if known.fit is RuleFit.MAYBE:
        vetoes = bool(rule.forbid) and Forbids.WITH_ARGS in rule.forbids
        return RuleAnswer(fit=RuleFit.VETO, reason=known.reason) if vetoes else known
    return _by_flags(rule, name, base, arguments)


def leading(base: str, arguments: Sequence[Word]) -> tuple[Word, ...]:
    """The arguments from the subcommand on, or from an option that is not known to leave it be.

    Raises:
        GitRefusal: such an option of git's, or one that redefines the subcommand.
    """
    if base == "git":
        return git_rules.in_full(git_rules.after_options(arguments))
    spec = stated(f"before {base}")
    if spec is None or not arguments or not (arguments[0].value or "").startswith("-"):
        return tuple(arguments)
    found = read(arguments, spec, known_only=True)
    if any(value.value is None and value.becomes is not WordExpansion.ONE
           for _, value in found.options if value is not None):  # fmt: skip
        # It may become several words, with the option that decides among them.
        return tuple(arguments)
    return _last_apart(found.rest, spec, stated(base))


def _last_apart(
    words: tuple[Word, ...], spec: OptionSpec, own: OptionSpec | None
) -> tuple[Word, ...]:
    """``-mpytest`` and ``-um pytest`` as ``-m pytest``: an option behind which no other comes."""
    first = (words[0].value or "") if words else ""
    for at, letter in enumerate(first[1:], start=1):
        if own is not None and letter in own.last:
            attached = [literal(first[at + 1 :])] if first[at + 1 :] else []
            return (literal(f"-{letter}"), *attached, *words[1:])
        if letter not in spec.flags:
            break
    return words


def _by_args(rule: CommandRule, base: str, arguments: Sequence[Word]) -> RuleAnswer:
    # As they stand first: `--version` may be what a rule permits.
    if _compared(rule, arguments) is RuleFit.FITS:
        return _FITS
    try:
        rest = leading(base, arguments)
    except git_rules.GitRefusal as refused:
        return RuleAnswer(fit=RuleFit.MAYBE, reason=f"{refused} is not allowed")
    fit = _compared(rule, rest)
    first = (rest[0].value or "") if rest else ""
    if fit is RuleFit.MAYBE:
        reason = (
            f"{base}: its first arguments decide here, and only the run can know them: "
            "write them out"
        )
        return RuleAnswer(fit=fit, reason=reason)
    if fit is RuleFit.OTHER and first.startswith("-") and base != "git":
        return RuleAnswer(fit=RuleFit.MAYBE, reason=_behind(base, first.partition("=")[0]))
    return RuleAnswer(fit=fit)


def _behind(base: str, option: str) -> str:
    return f"{base}: {option} stands before the subcommand, which decides here: put it behind"


def _compared(rule: CommandRule, arguments: Sequence[Word]) -> RuleFit:
    """The leading arguments against those that the rule permits."""
    result = RuleFit.OTHER
    for wanted in rule.args or ():
        for index, text in enumerate(wanted):
            word = arguments[index] if index < len(arguments) else None
            if word is None or (word.value is not None and word.value != text):
                break
            if word.value is None:
                if word.becomes is not WordExpansion.ONE or text.startswith(word.opening):
                    result = RuleFit.MAYBE
                break
        else:
            return RuleFit.FITS
    return result


def _by_flags(rule: CommandRule, name: str, base: str, arguments: Sequence[Word]) -> RuleAnswer:
    try:
        named = rule.args is not None and Forbids.ALWAYS not in rule.forbids
        readings = _readings(base, arguments, named=named)
    except git_rules.GitRefusal as refused:
        reason = f"{refused} is not allowed where flags are looked at"
        return RuleAnswer(fit=RuleFit.VETO if rule.forbid else RuleFit.MAYBE, reason=reason)
    for reading in readings:
        for flag in rule.forbid:
            option = reading.forbidden(flag)
            if option is not None:
                return RuleAnswer(fit=RuleFit.VETO, reason=_holds(rule, name, flag, option))
    for reading in readings:
        if rule.forbid and reading.unclear is not None:
            return RuleAnswer(fit=RuleFit.VETO, reason=_unclear(rule, name, reading.unclear))
    missing = [
        flag for flag in rule.require if not any(reading.present(flag) for reading in readings)
    ]
    if missing:
        reason = (
            f"{_call(rule, name)} needs {' and '.join(missing)} here, written in full and before "
            f"other options: {_call(rule, name)} {' '.join(rule.require)} …"
        )
        return RuleAnswer(fit=RuleFit.MAYBE, reason=reason)
    return _FITS


def _readings(base: str, arguments: Sequence[Word], *, named: bool) -> list[FoundFlags]:
    """The options of a program; git's own and its subcommand's apart, for they differ."""
    if base != "git":
        return [read_flags(arguments, stated(base))]
    rest = git_rules.after_options(arguments)
    own = arguments[: len(arguments) - len(rest)]
    subcommand = rest[0].value if rest else ""
    if rest and subcommand is None:
        return [read_flags(arguments, stated("git"))]
    if not subcommand or subcommand.startswith("-"):
        return [read_flags(arguments, stated("git"))]
    if not named and subcommand not in git_rules.SUBCOMMANDS:
        raise git_rules.GitRefusal(f"`git {subcommand}`, which may be an alias for anything,")
    return [
        read_flags(own, stated("git")),
        read_flags(rest[1:], stated(f"git {subcommand}")),
    ]


def may_be_alias(program: str, begin: Sequence[str]) -> bool:
    """Do arguments that begin so name a subcommand of git that may be an alias for anything?"""
    if program.rpartition("/")[2] != "git":
        return False
    try:
        rest = git_rules.after_options([literal(word) for word in begin])
    except git_rules.GitRefusal:
        return False
    first = rest[0].value or "-" if rest else "-"
    return not first.startswith("-") and first not in git_rules.SUBCOMMANDS


def _holds(rule: CommandRule, name: str, flag: str, option: FoundFlag) -> str:
    word = option.word.split("\n")[0][:60]
    if option.name == flag:
        said = word if word == flag else f"{word} holds {flag}, which"
    elif option.name.startswith("--") and flag.startswith(option.name):
        said = f"{word} may be short for {flag}, which"
    else:
        said = f"{word} may be {flag} in other letters, which"
    others = [other for other in rule.forbid if other != flag]
    rest = f" (nor is {', '.join(others[:12])})" if others else ""
    return (
        f"{said} is not allowed with {_call(rule, name)}{rest}: it may run without; "
        "a file of that name stands behind `--`"
    )


def _unclear(rule: CommandRule, name: str, word: Word) -> str:
    shown = word.text.split("\n")[0][:60]
    return (
        f"with {_call(rule, name)} {_none_of(rule.forbid)} may be given, and only the run can know "
        f"what {shown} is: write it out, put it after `--`, or begin it with `./`"
    )


def _none_of(flags: Sequence[str]) -> str:
    return f"none of {', '.join(flags[:12])}" if len(flags) > 1 else f"no {flags[0]}"


def _call(rule: CommandRule, name: str) -> str:
    """``git push`` where the rule is about that alone."""
    return " ".join([name, *(rule.args[0] if rule.args and len(rule.args) == 1 else ())])
