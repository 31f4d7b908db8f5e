"""Single values as a person writes them: names, paths, patterns, variables, sizes, durations.

Pure checks of strings, each raising ValueError with what to write instead. A size or duration
(``4GiB``, ``64KiB``, ``2m``, ``90s``) always has its unit: a bare ``30`` has been read as seconds
by some and minutes by others.
"""

import posixpath
import re
from collections.abc import Mapping

PLAIN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

_COMPONENT = "[A-Za-z0-9][A-Za-z0-9._-]*"
_IMAGE = re.compile(
    rf"(?=.{{1,255}}\Z){_COMPONENT}(:[0-9]+(?=/))?(/{_COMPONENT})*(:[A-Za-z0-9_][A-Za-z0-9._-]*)?"
    r"(@sha256:[0-9a-f]{64})?\Z"
)
_PLAIN = re.compile(PLAIN_NAME)
_MODEL = re.compile(r"[a-z][a-z0-9]*:[^\x00-\x20\x7f][^\x00-\x1f\x7f]{0,1023}\Z")
_PROGRAM = re.compile(r"[A-Za-z0-9_+.\[-][A-Za-z0-9_+.@-]{0,254}\Z")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_FLAG = re.compile(r"(--?|\+)[A-Za-z0-9?@#][A-Za-z0-9_.@#?-]{0,127}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# A backslash that escapes nothing: what git makes of it is not what it seems to say.
_LOOSE_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\(?:/|\Z)")
_HOST = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\Z"
)

# Variables that decide which file a name leads to, or run text before the command does. With one
# of them set for every command, what the check looked at is not what runs; PYTHONPATH and the like
# only reach programs that can run any code anyway.
HIJACKING = re.compile(
    r"(PATH|LD_[A-Z0-9_]*|BASH_ENV|ENV|BASHOPTS|SHELLOPTS|BASH_FUNC_.*|BASH_LOADABLES_PATH"
    r"|BASH_CMDS|BASH_ALIASES|POSIXLY_CORRECT|PROMPT_COMMAND|PS4|CDPATH|GLOBIGNORE|EXECIGNORE|GCONV_PATH|LOCPATH|GLIBC_TUNABLES"
    r"|GIT_EXEC_PATH|GIT_CONFIG.*|GIT_TEMPLATE_DIR|COMPILER_PATH|GCC_EXEC_PREFIX)\Z"
)
OURS = {"HOME", "PWD", "OLDPWD", "SHELL", "USER", "LOGNAME", "IFS", "TMPDIR"}
_NUMERIC = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)\Z")
"""Names whose last label is a number are addresses to some clients."""
NETWORK_WORDS = ("pip", "npm", "apt", "cargo", "go", "maven")
"""Clients whose registries a policy names by one word."""
_CREDENTIAL = re.compile(r"(.*_API_KEY|ANTHROPIC_.*|OPENAI_.*)\Z")


def plain_name(text: str) -> str:
    if not _PLAIN.match(text) or "\n" in text:
        raise ValueError("expected a plain name: letters, digits, `.`, `_` and `-`")
    return text


def reviewer(text: str) -> str:
    """A model as ``-m`` names one. Which there are is not known here."""
    if not _MODEL.match(text):
        raise ValueError("expected a model as -m names one: `PROVIDER:NAME`")
    return text


def image(text: str) -> str:
    """A recipe, an image reference of the engine, or the path of a Dockerfile or its folder."""
    if is_path(text):
        if _CONTROL.search(text) or not text.strip():
            raise ValueError("a path without control characters is expected")
    elif not _IMAGE.match(text):
        raise ValueError(
            "expected a recipe's plain name (`python`), a reference that the engine knows "
            "(`debian:bookworm-slim`, `repo/name:tag`, `sha256:…`), or the path of a Dockerfile "
            "that begins with `./`, `../` or `/`"
        )
    return text


def is_path(image_name: str) -> bool:
    """Whether an image is named by where its Dockerfile stands."""
    return image_name.startswith(("./", "../", "/"))


def program(text: str) -> str:
    """A name on the PATH, or an absolute path in normal form."""
    if text.startswith("/"):
        return absolute_path(text)
    if "/" in text:
        raise ValueError(
            "a program is a name or an absolute path; what lives in the workspace is allowed "
            "as a whole, by exec_workspace"
        )
    if not _PROGRAM.match(text) or text in {".", ".."} or text.startswith("-"):
        hint = "; arguments go into args" if " " in text else ""
        raise ValueError(f"is not the name of a program{hint}")
    return text


def absolute_path(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("a path without control characters is expected")
    if ".." in text.split("/") or posixpath.normpath(text).lstrip("/") != text.strip("/"):
        raise ValueError("expected a path in normal form, without `.`, `..` or `//`")
    return posixpath.normpath("/" + text.lstrip("/"))


def place(text: str) -> str:
    """A directory or file: relative to the workspace, or absolute."""
    if not text:
        raise ValueError("is empty: write `.` for the whole workspace")
    if text.startswith("~"):
        raise ValueError("`~` is not expanded: write an absolute path; home is always writable")
    if any(sign in text for sign in "*?["):
        raise ValueError("no patterns here: the kernel takes directories and files by name")
    if text.startswith("/"):
        return absolute_path(text)
    if _CONTROL.search(text):
        raise ValueError("a path without control characters is expected")
    if ".." in text.split("/"):
        raise ValueError("`..` would leave the workspace: write an absolute path if that is meant")
    return posixpath.normpath(text)


def pattern(text: str) -> str:
    """A pattern in gitignore form."""
    if not text.strip() or text.startswith("#"):
        raise ValueError("a pattern that matches nothing")
    if _CONTROL.search(text):
        raise ValueError("a pattern without control characters is expected")
    if text.rstrip() == "!" or _LOOSE_ESCAPE.search(text):
        raise ValueError("is not a pattern in gitignore form")
    return text


def network_name(text: str) -> str:
    """A host name, ``*.`` and one for all names below it, or a word for a client's registries."""
    name = text.removeprefix("*.")
    if not _HOST.match(name) or _NUMERIC.match(name):
        words = ", ".join(NETWORK_WORDS)
        raise ValueError(
            "expected a host name in lower case, without scheme, port or path and not an address, "
            f"or one of {words}"
        )
    if "." not in name and text not in NETWORK_WORDS:
        raise ValueError(f"is neither a full host name nor one of {', '.join(NETWORK_WORDS)}")
    return text


def secret_name(text: str) -> str:
    """The name of an operator's variable that set-up's commands may have."""
    if not _ENV_NAME.match(text):
        raise ValueError("is not the name of an environment variable")
    if HIJACKING.match(text) or text in OURS:
        raise ValueError("can't be a secret: it decides what runs, or the sandbox sets it")
    if _CREDENTIAL.match(text):
        raise ValueError("can't be given to set-up: the models' keys never enter a container")
    return text


def env_name(text: str) -> str:
    """The name of a variable that a policy may set for every command."""
    if not _ENV_NAME.match(text):
        raise ValueError("is not the name of an environment variable")
    if HIJACKING.match(text):
        raise ValueError(
            "can't be set: it decides which file a program's name leads to, or runs text before "
            "each command, so that what was checked would not be what runs"
        )
    if text in OURS:
        raise ValueError("can't be set: the sandbox sets it")
    if _CREDENTIAL.match(text):
        raise ValueError("can't be set: API keys never enter the container")
    return text


def env_value(text: str) -> str:
    if "\x00" in text or len(text) > 32_768:
        raise ValueError("expected at most 32768 characters and no NUL")
    return text


def argument(text: str) -> str:
    if "\x00" in text or not text:
        raise ValueError("expected an argument that is not empty")
    return text


def flag(text: str) -> str:
    """A flag as a rule forbids or requires it: without its value."""
    if "=" in text and text.startswith("-"):
        bare = text.partition("=")[0]
        raise ValueError(f"holds a value, and flags are looked at without theirs: write `{bare}`")
    if not text.startswith(("-", "+")):
        raise ValueError("is no flag: one starts with `-` or `+`; a subcommand goes into args")
    if not _FLAG.match(text):
        raise ValueError("is no flag: expected one such as `--force`, `-f`, `-exec` or `+x`")
    return text


def command_line(text: str) -> str:
    if "\x00" in text or not text.strip():
        raise ValueError("expected a command")
    return text


_SIZES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_WHOLE_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATIONS = {"ms": 0.001, **_WHOLE_SECONDS}

_NUMBER = r"[0-9]{1,9}(\.[0-9]{1,3})?"
SIZE_PATTERN = f"^{_NUMBER}({'|'.join(_SIZES)})$"
DURATION_PATTERN = f"^{_NUMBER}({'|'.join(_DURATIONS)})$"
_AMOUNT = re.compile(f"({_NUMBER})([A-Za-z]+)")


def size_bytes(text: str) -> int:
    """``64KiB`` as bytes.

    Raises:
        ValueError: it is not a size; the message says what one looks like.
    """
    return int(_amount(text, _SIZES, "a size", "4GiB"))


def duration_s(text: str) -> float:
    """``2m`` as seconds.

    Raises:
        ValueError: it is not a duration; the message says what one looks like.
    """
    return _amount(text, _DURATIONS, "a duration", "2m")


def _amount(text: str, units: Mapping[str, float], kind: str, example: str) -> float:
    parts = _AMOUNT.fullmatch(text)
    if parts is None or parts[3] not in units:
        known = ", ".join(units)
        raise ValueError(f"expected {kind} with its unit ({known}), such as {example}")
    return float(parts[1]) * units[parts[3]]


def spelled_size(count: int) -> str:
    """Bytes in the largest unit that divides them."""
    return _in_largest(count, _SIZES) or "0B"


def spelled_duration(seconds: float) -> str:
    """Seconds in the largest unit that divides them."""
    if not seconds:
        return "0s"
    return _in_largest(seconds, _WHOLE_SECONDS) or f"{round(seconds * 1000)}ms"


def _in_largest(amount: float, units: Mapping[str, float]) -> str | None:
    """An amount that is not 0, in the largest unit that divides it; None: none does."""
    for unit, size in reversed(list(units.items())):
        if amount and amount % size == 0:
            return f"{int(amount // size)}{unit}"
    return None
