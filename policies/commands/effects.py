"""What a command does by itself, beside starting a program: builtins, redirections, variables.

Owns the list of what bash itself carries out, which of that does nothing but what it says, and
where a builtin's arguments are shell text, a program or a variable's name. Owns which variables
decide what runs: the ones that hold a command, that redefine a name, and that give a program
options which its rule can't see. What is written to by redirections and options is held against the
policy's paths by the text alone: links, and a working directory that a command changed, are the
kernel's to judge.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile

from policies import paths
from policies.commands.rules import (
    CommandDecision,
    CommandRules,
    denied,
    key_name,
    left_to_kernel,
    rule_name,
)
from policies.file.scalars import HIJACKING
from policies.frozen import dataclass
from policies.paths import PathStanding
from policies.policy import CommandRule, Policy
from policies.shell.ast import Assigned, Redirect
from policies.shell.words import UNKNOWN, Word, literal

HARMLESS = frozenset(
    {":", "[", "[[", "bg", "break", "caller", "cd", "continue", "declare", "dirs", "disown",
     "echo", "exit", "export", "false", "fg", "getopts", "help", "history", "jobs", "kill", "let",
     "local", "logout", "mapfile", "popd", "printf", "pushd", "pwd", "read", "readarray",
     "readonly", "return", "set", "shift", "shopt", "suspend", "test", "times", "true", "type",
     "typeset", "ulimit", "umask", "unalias", "unset", "wait", "alias", "hash", "enable", "trap",
     "compgen"}
)  # fmt: skip
STARTING = frozenset({"eval", "exec", "command", "builtin", ".", "source"})
REFUSED = frozenset({"bind", "complete", "compopt", "fc"})
ALL = HARMLESS | STARTING | REFUSED

READ_OTHERWISE = frozenset({"expand_aliases", "histexpand", "keyword", "posix"})
"""Options of the shell under which the same text means other commands: those of an alias, of an
earlier line, or with an argument made a variable."""
DECLARING = frozenset({"export", "declare", "typeset", "local", "readonly"})
MOVING = frozenset({"cd", "pushd", "popd"})

# A subscript is arithmetic, and arithmetic carries out substitutions, whatever quotes held them.
_SUBSCRIPT = re.compile(r"\[.*(\$\(|`)", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\[.*\])?\Z", re.DOTALL)
_DECLARED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:\[.*\])?(?:\+?=(.*))?", re.DOTALL)
_NAMING = frozenset(
    {"printf", "read", "mapfile", "readarray", "unset", "let", "test", "[", "wait", "getopts"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What the arguments of a builtin or a program do beside its own work."""

    refused: str | None = None
    """Why it is denied."""
    assigned: Assigned = ()
    script: Word | None = None
    """A file that a shell reads its commands from."""
    texts: tuple[Word, ...] = ()
    """Shell text that it carries out, now or later."""
    commands: tuple[tuple[Word, ...], ...] = ()
    """The words of each command that it starts."""
    unseen: tuple[tuple[str, str], ...] = ()
    """From where else commands may come, each with what is to be said of it."""
    writes: tuple[Word, ...] = ()


def effect(  # noqa: PLR0911 - a return for each kind of builtin
    name: str, arguments: Sequence[Word]
) -> Effect:
    """What the builtin does with these arguments."""
    values = [word.value for word in arguments]
    match name:
        case "eval":
            return Effect(texts=(joined(arguments),))
        case "." | "source":
            rest = arguments[1:] if values[:1] == ["--"] else arguments
            return Effect(script=rest[0]) if rest else Effect()
        case "exec" | "command":
            return _starting(name, arguments)
        case "builtin":
            if values[:1] and values[0] is not None and values[0] not in ALL:
                return Effect(refused=f"{values[0]!r} is no builtin of bash")
            return Effect(commands=(tuple(arguments),))
        case "trap":
            return _trap(arguments)
        case "alias":
            return Effect(texts=tuple(_alias_texts(arguments)))
        case _ if name in REFUSED:
            return Effect(refused=f"`{name}` runs other commands at the line editor's call")
        case _:
            return _own_work(name, arguments)


def joined(words: Sequence[Word]) -> Word:
    """The text that words make with a blank between them, as `eval` joins its arguments."""
    values = [word.value for word in words if word.value is not None]
    return literal(" ".join(values)) if len(values) == len(words) else UNKNOWN


def _starting(name: str, arguments: Sequence[Word]) -> Effect:
    from policies.commands.getopt import (  # noqa: PLC0415 - for few commands
        OptionSpec,
        UnknownOption,
        read,
    )

    flags, valued = ("cl", "a") if name == "exec" else ("pvV", "")
    try:
        found = read(arguments, OptionSpec(flags=flags, valued=valued))
    except UnknownOption as error:
        return Effect(refused=f"{name} has no option {error}")
    if found.has("v", "V"):
        return Effect()
    return Effect(commands=(found.rest,))


def _trap(arguments: Sequence[Word]) -> Effect:
    rest = arguments
    while rest and rest[0].value in {"-l", "-p", "-P", "--"}:
        if rest[0].value != "--":
            return Effect()
        rest = rest[1:]
    if len(rest) < 2 or rest[0].value in {"-", ""}:
        return Effect()
    return Effect(texts=(rest[0],))


def _alias_texts(arguments: Sequence[Word]) -> list[Word]:
    texts: list[Word] = []
    for word in arguments:
        if word.value is None:
            texts.append(word)
        elif "=" in word.value:
            texts.append(literal(word.value.partition("=")[2]))
    return texts


def _own_work(  # noqa: PLR0911 - a return for each refusal
    name: str, arguments: Sequence[Word]
) -> Effect:
    values = [word.value or "" for word in arguments]
    flags = "".join(value[1:] for value in values if re.fullmatch(r"-[A-Za-z]+", value))
    if name in {"enable", "hash", "compgen"} and any(word.value is None for word in arguments):
        return Effect(refused=f"`{name}` with arguments that only the run can know")
    if name == "enable" and any(set(value) - set("-aps") for value in values):
        return Effect(refused="`enable` may only list: it loads code and turns builtins off")
    if name == "hash" and any(re.match(r"-[A-Za-z]*p", value) for value in values):
        return Effect(refused="`hash -p` gives a program another's name")
    if name == "compgen" and any(re.match(r"-[A-Za-z]*[CFW]", value) for value in values):
        return Effect(refused="`compgen` with -C, -F or -W runs a command")
    if name == "set" or (name == "shopt" and "u" not in flags):
        return _shell_options(arguments)
    if name in {"mapfile", "readarray"} and _after(arguments, "C"):
        # Behind it bash puts the number and the text of a line.
        called = [literal(f'{word.value} "$@"') if word.value else word
                  for word in _after(arguments, "C")]  # fmt: skip
        return Effect(texts=tuple(called))
    if any(_SUBSCRIPT.search(value) for value in _names(name, arguments)):
        return Effect(refused=f"an argument of `{name}` whose subscript runs a command")
    return Effect(assigned=_assigned(name, arguments, flags))


def _shell_options(arguments: Sequence[Word]) -> Effect:
    options = list(takewhile(lambda word: word.value not in {"--", "-"}, arguments))
    for word in options:
        value = word.value or ""
        if value in READ_OTHERWISE or re.fullmatch(r"-[A-Za-z]*[kH][A-Za-z]*", value):
            return Effect(refused=f"`{value}` changes how text is read: leave it out")
    unknown = any(word.value is None for word in options)
    return Effect(assigned=(("", None),) if unknown else ())


def _names(name: str, arguments: Sequence[Word]) -> list[str]:
    """Arguments that may be the name of a variable."""
    if name == "printf" and arguments and arguments[0].value is not None:
        found = _after(arguments, "v")
        return [word.text if word.value is None else word.value for word in found]
    if name in DECLARING | _NAMING:
        return [word.text if word.value is None else word.value for word in arguments]
    return []


def _after(arguments: Sequence[Word], letter: str) -> tuple[Word, ...]:
    """The values of an option: every one, for the last counts to bash."""
    found: list[Word] = []
    for index, word in enumerate(arguments):
        value = word.value or ""
        if re.fullmatch(rf"-[A-Za-z]*{letter}", value):
            found += arguments[index + 1 : index + 2]
        elif re.match(rf"-[A-Za-z]*{letter}.", value):
            found.append(literal(value.partition(letter)[2]))
    return tuple(found)


def _assigned(name: str, arguments: Sequence[Word], flags: str) -> Assigned:
    """Variables that it sets, of those that decide what runs."""
    found: list[tuple[str, Word | None]] = []
    if name in DECLARING:
        for word in arguments:
            pair = _DECLARED.fullmatch(word.text if word.value is None else word.value)
            if pair is None:
                found += [("", None)] if word.value is None else []
            elif pair[2] is not None:
                value = None if word.value is None else literal(pair[2])
                found.append((pair[1], value))
                if "n" in flags and value is not None and value.value:
                    # A reference: what is assigned to it later is assigned to that.
                    found.append((value.value, None))
            elif "n" in flags and word.value and not word.value.startswith("-"):
                found.append((word.value, None))
        return tuple(found)
    if name in {"read", "mapfile", "readarray", "getopts"}:
        candidates = [word.value for word in arguments]
    elif name == "printf":
        candidates = [word.value for word in _after(arguments, "v")]
    elif name == "let":
        candidates = [(word.value or "").partition("=")[0] for word in arguments]
    else:
        return ()
    return tuple((value or "", None) for value in candidates if value is None or _NAME.match(value))


_NETWORK_FILES = re.compile(r"/dev/(tcp|udp)(/|\Z)")
_READS = frozenset({"<", "<<<", "<&"})
_DUPLICATES = frozenset({">&", "<&", "<&-", ">&-"})


def redirection(policy: Policy, redirect: Redirect, *, moved: bool) -> CommandDecision | None:
    """What the check says of a redirection; None: nothing.

    Args:
        moved: the text changes the working directory somewhere.
    """
    target = redirect.target.value
    if target is not None and "/dev" in target and _NETWORK_FILES.match(paths.normal(target)):
        return denied("there is no network here, not through /dev/tcp either")
    if redirect.operator in _DUPLICATES and target is not None and set(target) & {"$", "`"}:
        return denied("bash expands the name after `>&` twice: write it with `>` and `2>&1`")
    duplicates = redirect.operator in _DUPLICATES and re.fullmatch(r"[0-9]+-?|-", target or "")
    if redirect.operator in _READS or duplicates:
        return None
    return write(policy, redirect.target, moved=moved)


def write(policy: Policy, target: Word, *, moved: bool) -> CommandDecision | None:
    """What the check says of a file that a command writes to; None: nothing."""
    if target.value is None:
        return left_to_kernel("only the run can know which file this is")
    match paths.write_standing(policy, target.value, moved=moved):
        case PathStanding.INSIDE:
            return None
        case PathStanding.UNCERTAIN:
            return left_to_kernel("which file this is depends on the working directory")
        case PathStanding.OUTSIDE:
            return denied(
                f"writing to {target.value} is not allowed: {_writable(policy)} may be written",
                key_name(policy, "paths.write"),
            )


def _writable(policy: Policy) -> str:
    tops = [paths.normal(entry) for entry in policy.paths.write]
    return ", ".join([*tops[:8], *paths.SCRATCH, "home"])


# Values of these are commands that programs run for their own ends.
COMMAND_VARIABLES = frozenset(
    {"EDITOR", "VISUAL", "PAGER", "GIT_EDITOR", "GIT_PAGER", "GIT_SEQUENCE_EDITOR", "MANPAGER",
     "GIT_SSH_COMMAND", "GIT_SSH", "GIT_EXTERNAL_DIFF", "GIT_ASKPASS", "SSH_ASKPASS", "BROWSER",
     "LESSOPEN", "LESSCLOSE", "GIT_PROXY_COMMAND"}
)  # fmt: skip
# Where `~` leads, and options of programs that may start others.
_LEADING = frozenset({"HOME", "TAR_OPTIONS", "RIPGREP_CONFIG_PATH", "ZIPOPT"})
# Beside a program's own name, the variables that give it options.
_OPTION_VARIABLES = {
    "make": "MAKEFLAGS|GNUMAKEFLAGS|MFLAGS",
    "pytest": "PYTEST_ADDOPTS|PYTEST_PLUGINS",
    "pip": "PIP_.*",
    "npm": "(npm|NPM)_CONFIG_.*|npm_config_.*",
    "node": "NODE_OPTIONS",
    "java": "_?JAVA_.*|JDK_JAVA_OPTIONS",
    "rg": "RIPGREP_CONFIG_PATH",
    "less": "LESS",
    "xz": "XZ_OPT|XZ_DEFAULTS",
    "gzip": "GZIP",
    "zip": "ZIPOPT|ZIP",
    "unzip": "UNZIP|UNZIPOPT",
    "docker": "DOCKER_.*",
    "git": "GIT_CONFIG.*|GIT_EXEC_PATH",
}


def variable(  # noqa: PLR0911 - a return for each kind of variable
    rules: CommandRules, name: str
) -> CommandDecision | None:
    """What the check says of setting a variable; None: it decides nothing about what runs."""
    policy = rules.policy
    name = name.partition("[")[0]
    if not name:
        return left_to_kernel("only the run can know which variable or option this sets")
    for rule in rules.flagged:
        if _gives_options(rule, name):
            reason = f"{name} gives {rule.program} options that its rule can't see: leave it out"
            return denied(reason, rule_name(rule))
    if name in _LEADING:
        return left_to_kernel(f"{name} leads to programs that the text does not name")
    if not HIJACKING.match(name):
        return None
    if name.startswith("GIT_") and any(rule.program == "git" and rule.args is not None
                                       for rule in policy.commands):  # fmt: skip
        return denied(f"{name} can redefine what a git subcommand does: leave it out")
    if policy.exec_workspace:
        return left_to_kernel(f"{name} decides which file a name leads to")
    return denied(
        f"{name} decides which file a name leads to, and this policy runs nothing but its list: "
        "leave it out",
        key_name(policy, "exec_workspace"),
    )


def _gives_options(rule: CommandRule, variable: str) -> bool:
    """Does the variable give the program options that stand in no argument, or take them away?"""
    return bool(_option_variables(rule.program).fullmatch(variable)) or (
        # Options behind an operand are then none.
        bool(rule.require) and variable == "POSIXLY_CORRECT"
    )


@lru_cache(maxsize=256)
def _option_variables(program: str) -> re.Pattern[str]:
    base = re.sub(r"[0-9.]+$", "", program.rpartition("/")[2])
    own = re.escape(re.sub(r"[^A-Za-z0-9]", "_", base).upper())
    known = _OPTION_VARIABLES.get(base)
    usual = f"{own}_?(OPTIONS|OPTION|OPTS|OPT|FLAGS|ARGS|ADDOPTS)"
    return re.compile(f"{usual}|{known}" if known else usual)
