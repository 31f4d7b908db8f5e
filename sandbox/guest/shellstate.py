"""What one shell command hands to the next: working directory, exported variables (`OLDPWD`, for
`cd -`, is one), umask and the stack of `pushd`.

Not options, traps, functions, aliases, limits and other variables: a command would run differently
by what an earlier one said for itself, such as `set -e`.

The shell prints them as it exits; what a program wrote in its place is only the model's own
environment, so it is read strictly and bounded but not believed for anything else.
"""

from __future__ import annotations

import os

_REFUSED = (b"BASH_ENV", b"ENV", b"SHELLOPTS", b"BASHOPTS", b"PS4", b"PROMPT_COMMAND")
"""Names that make the next shell run or trace something before the command it was given."""

_REFUSED_PREFIXES = (b"LD_", b"GCONV_", b"BASH_FUNC_", b"_")

_TOTAL_LIMIT = 1 << 17
_PATH_LIMIT = 4096
_STACK_LIMIT = 32
_DECLARE = b"declare -"
_ESCAPES = {
    b"a": b"\a", b"b": b"\b", b"e": b"\x1b", b"E": b"\x1b", b"f": b"\f", b"n": b"\n",
    b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\\": b"\\", b"'": b"'", b'"': b'"', b"?": b"?",
}  # fmt: skip


def _double_quoted(text: bytes, at: int) -> tuple[bytes, int]:
    out = bytearray()
    while True:
        end = at
        while text[end] not in b'"\\':
            end += 1
        out += text[at:end]
        if text[end : end + 1] == b'"':
            return bytes(out), end + 1
        out += text[end + 1 : end + 2]
        at = end + 2


def _ansi_quoted(text: bytes, at: int) -> tuple[bytes, int]:
    out = bytearray()
    while True:
        end = at
        while text[end] not in b"'\\":
            end += 1
        out += text[at:end]
        if text[end : end + 1] == b"'":
            return bytes(out), end + 1
        letter = text[end + 1 : end + 2]
        if letter in _ESCAPES:
            out += _ESCAPES[letter]
            at = end + 2
        else:
            # bash writes other bytes as three octal digits.
            out.append(int(text[end + 1 : end + 4], 8) & 0xFF)
            at = end + 4


def exports(text: bytes) -> dict[bytes, bytes]:
    """Variables in the output of bash's `export -p`.

    Raises:
        ValueError, IndexError: it is not that.
    """
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(text):
        if not text.startswith(_DECLARE, at):
            raise ValueError("no declaration")
        start = text.index(b" ", at + len(_DECLARE)) + 1
        end = start
        while end < len(text) and text[end] not in b"=\n":
            end += 1
        name = text[start:end]
        if text[end : end + 1] == b"=":
            if text[end + 1 : end + 2] == b'"':
                value, end = _double_quoted(text, end + 2)
            elif text[end + 1 : end + 3] == b"$'":
                value, end = _ansi_quoted(text, end + 3)
            else:
                raise ValueError("no quotes")
            found[name] = value
        if text[end : end + 1] != b"\n":
            raise ValueError("no end of line")
        at = end + 1
    return found


class ShellState:
    """What the next command begins with."""

    def __init__(self, workspace: bytes, environment: dict[bytes, bytes]) -> None:
        self.workspace = workspace
        self.directory = workspace
        self.stack: list[bytes] = []
        """Directories that `popd` goes back to, the next one first."""
        self.umask = 0o022
        self.environment = environment
        # What only the image and the policy set: no command changes it for the next.
        self._fixed = {name: environment[name] for name in _REFUSED if name in environment}
        own = (workspace, environment.get(b"HOME", b"/tmp"), b"/tmp", b"/var/tmp")
        # Of the PATH that the container began with, what no command can have put a program into.
        self.path = [
            directory
            for directory in environment.get(b"PATH", b"/usr/bin:/bin").split(b":")
            if not any((directory + b"/").startswith(top + b"/") for top in own)
        ]
        self._told = b""

    def find(self, program: bytes) -> bytes:
        """The file that a program name stands for, where only the image has programs."""
        if b"/" in program:
            return program
        for directory in self.path:
            path = directory + b"/" + program
            if os.path.isfile(path):
                return path
        raise FileNotFoundError(2, "no such program")

    def update(self, data: bytes) -> None:
        """Take over what a shell printed as it ended; anything odd is left where it is."""
        if data == self._told and data.startswith(self.directory + b"\0"):
            return  # the usual end: it is as it was
        fields = data.split(b"\0", 2)
        if len(fields) < 3:
            return
        directory, said, text = fields
        if directory.startswith(b"/") and len(directory) < _PATH_LIMIT:
            self.directory = directory
        umask, *stack = said.split(b"\n")
        if len(umask) <= 4 and umask.isdigit() and not umask.strip(b"01234567"):
            self.umask = int(umask, 8) & 0o777
        known = [path for path in stack[1:] if path.startswith(b"/") and len(path) < _PATH_LIMIT]
        self.stack = known[:_STACK_LIMIT]
        if len(text) > _TOTAL_LIMIT:
            return
        try:
            found = exports(text)
        except (ValueError, IndexError):
            return
        self._told = data
        self.environment = {
            name: value
            for name, value in found.items()
            if name
            and b"\0" not in name
            and name not in _REFUSED
            and not name.startswith(_REFUSED_PREFIXES)
            and b"\0" not in value
        }
        self.environment.update(self._fixed)
        # bash counts its own depth; each command starts afresh.
        self.environment.pop(b"SHLVL", None)
