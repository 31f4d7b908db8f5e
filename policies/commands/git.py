"""git's own options before the subcommand, where a policy permits only some subcommands.

``git -C dir status`` is a status; ``git -c alias.x='!cmd' x`` is anything. Owns which options may
stand there, and the few subcommand options that start a program.
"""

import re
from collections.abc import Sequence

from policies.commands.effects import Effect
from policies.shell.words import Word, WordExpansion, literal

_FLAGS = frozenset(
    {"--no-pager", "-P", "-p", "--paginate", "--no-optional-locks", "--literal-pathspecs",
     "--glob-pathspecs", "--noglob-pathspecs", "--icase-pathspecs", "--no-replace-objects",
     "--bare", "--no-advice", "--no-lazy-fetch"}
)  # fmt: skip
_VALUED = frozenset({"-C", "--git-dir", "--work-tree", "--namespace"})
# Configuration that names no program and no file to read more of it from.
_CONFIG = re.compile(
    r"(user\.(name|email)|author\.(name|email)|committer\.(name|email)|color\.[a-z.]+|advice\.[a-z]+"
    r"|core\.(quotepath|autocrlf|filemode|abbrev|ignorecase|safecrlf)|init\.defaultbranch"
    r"|(commit|tag)\.gpgsign|safe\.directory|diff\.(renames|algorithm|noprefix|context)"
    r"|merge\.conflictstyle|log\.(date|decorate)|gc\.auto|column\.[a-z]+|rebase\.autostash)(=.*)?\Z"
    r"|core\.pager=(cat|less)?\Z|core\.editor=(true|:)\Z",
    re.IGNORECASE | re.DOTALL,
)

SUBCOMMANDS = frozenset(
    {"add", "am", "annotate", "apply", "archive", "bisect", "blame", "branch", "bundle", "cat-file",
     "check-attr", "check-ignore", "checkout", "checkout-index", "cherry", "cherry-pick", "clean",
     "clone", "commit", "commit-tree", "config", "count-objects", "describe", "diff", "diff-files",
     "diff-index", "diff-tree", "difftool", "fast-export", "fast-import", "fetch", "fetch-pack",
     "filter-branch", "for-each-ref", "format-patch", "fsck", "gc", "grep", "hash-object", "help",
     "init", "log", "ls-files", "ls-remote", "ls-tree", "maintenance", "merge", "merge-base",
     "merge-file", "merge-tree", "mergetool", "mktree", "mv", "name-rev", "notes", "pack-objects",
     "pack-refs", "prune", "pull", "push", "range-diff", "read-tree", "rebase", "reflog", "remote",
     "repack", "replace", "rerere", "reset", "restore", "rev-list", "rev-parse", "revert", "rm",
     "send-pack", "shortlog", "show", "show-ref", "sparse-checkout", "stash", "status",
     "stripspace", "submodule", "switch", "symbolic-ref", "tag", "unpack-objects", "update-index",
     "update-ref", "var", "verify-commit", "verify-tag", "version", "whatchanged", "worktree",
     "write-tree"}
)  # fmt: skip
"""git's own: configuration can't give these another meaning, any other name may be an alias."""


class GitRefusal(Exception):
    """An option before the subcommand that would make any subcommand of it."""


def after_options(arguments: Sequence[Word]) -> tuple[Word, ...]:
    """The arguments from the subcommand on.

    Raises:
        GitRefusal: an option that may redefine what the subcommand does.
    """
    position = 0
    while position < len(arguments):
        value = arguments[position].value
        if (
            value is None
            or not value.startswith("-")
            or value in {"--version", "--help", "-v", "-h"}
        ):
            break
        name, equals, _ = value.partition("=")
        if value in _FLAGS:
            position += 1
        elif name in _VALUED:
            position += 1 if equals else 2
        elif value == "-c":
            setting = arguments[position + 1].value if position + 1 < len(arguments) else None
            if setting is None or not _CONFIG.match(setting):
                raise GitRefusal(
                    "`git -c` with a setting that may name a program; allowed there are "
                    "user.name, user.email, color.*, core.quotepath and the like"
                )
            position += 2
        else:
            raise GitRefusal(f"`git {name}` before the subcommand")
    return tuple(arguments[position:])


_CONFIG_PLACES = frozenset(
    {"--local", "--global", "--system", "--worktree", "--show-origin", "--show-scope", "--null",
     "-z", "--name-only", "--bool", "--int", "--path", "--includes", "--no-includes"}
)  # fmt: skip
"""Options of ``git config`` that say where or how it looks, not what it does."""
_CONFIG_VALUED = frozenset({"-f", "--file", "--blob", "--type", "--default"})
_CLONE_FLAGS = frozenset(
    {"-q", "--quiet", "-l", "--local", "--no-hardlinks", "--no-local", "-n", "--no-checkout",
     "--bare", "--single-branch", "--no-tags"}
)  # fmt: skip
_LOCAL_PATH = re.compile(r"(?![^/]*:)[^-].*|file:///.*", re.DOTALL)
"""What git takes for a place on this machine: no host with a colon, no other scheme."""


def in_full(arguments: tuple[Word, ...]) -> tuple[Word, ...]:
    """A subcommand with its arguments, in the form that says what it does.

    ``git remote -v`` lists, ``git config NAME`` reads, ``git clone`` of a path reaches nothing: a
    rule permits them as ``[remote, show]``, ``[config, --get]`` and ``[clone, --local]``.
    """
    rest = arguments[1:]
    match arguments[0].value if arguments else None:
        case "remote" if not rest or [word.value for word in rest] in (["-v"], ["--verbose"]):
            rest = (literal("show"),)
        case "submodule" if not rest:
            rest = (literal("status"),)
        case "config":
            rest = _config_read(rest) or rest
        case "clone":
            rest = _cloned(rest)
    return (*arguments[:1], *rest)


def _config_read(rest: Sequence[Word]) -> tuple[Word, ...]:
    """The arguments of ``git config`` from the one on that says what is read; none: it writes."""
    asked = _behind(rest, _CONFIG_PLACES, _CONFIG_VALUED)
    first = (asked[0].value or "") if asked else ""
    # A setting has a dot in its name; `git config edit` starts an editor.
    if len(asked) == 1 and "." in first and not first.startswith("-"):
        return (literal("--get"), *asked)
    return asked if first.startswith(("--get", "--list", "-l")) else ()


def _cloned(rest: Sequence[Word]) -> tuple[Word, ...]:
    operands = _behind(rest, _CLONE_FLAGS)
    source = operands[0].value if operands else None
    # The name of the copy may be made while it runs: `"$(mktemp -d)/copy"`.
    plain = all(
        word.becomes is WordExpansion.ONE if word.value is None else word.value[:1] != "-"
        for word in operands
    )
    local = source is not None and plain and _LOCAL_PATH.fullmatch(source)
    return (literal("--local"), *operands) if local else operands


def _behind(
    words: Sequence[Word], flags: frozenset[str], valued: frozenset[str] = frozenset()
) -> tuple[Word, ...]:
    """The words from the first on that is none of these options, nor the value of one."""
    at = 0
    while at < len(words):
        value = words[at].value or ""
        takes_next = value in valued and at + 1 < len(words) and _is_one(words[at + 1])
        if takes_next:
            at += 2
        elif value in flags or ("=" in value and value.partition("=")[0] in valued):
            at += 1
        else:
            break
    return tuple(words[at:])


def _is_one(word: Word) -> bool:
    return word.value is not None or word.becomes is WordExpansion.ONE


def started(arguments: Sequence[Word]) -> Effect:
    """What a subcommand starts by its own options."""
    try:
        rest = after_options(arguments)
    except GitRefusal:
        return Effect()  # a rule without `args` lets it be; what it starts is the kernel's
    values = [word.value for word in rest]
    match values[:1]:
        case ["rebase"]:
            return Effect(texts=_rebase(rest))
        case ["bisect"] if values[1:2] == ["run"]:
            return Effect(commands=(rest[2:],))
        case ["grep"]:
            for value in values[1:]:
                if value and (value.startswith("--op") or re.match(r"-[A-Za-z]*O", value)):
                    pager = value.partition("=")[2] or value.partition("O")[2]
                    return Effect(texts=(literal(pager or "less"),))
    return Effect()


def _rebase(arguments: Sequence[Word]) -> tuple[Word, ...]:
    texts: list[Word] = []
    for index, word in enumerate(arguments):
        value = word.value or ""
        if value == "-x" or (value.startswith("--exe") and "=" not in value):
            texts += arguments[index + 1 : index + 2]
        elif value.startswith("-x"):
            texts.append(literal(value[2:]))
        elif value.startswith("--exe"):
            texts.append(literal(value.partition("=")[2]))
    return tuple(texts)
