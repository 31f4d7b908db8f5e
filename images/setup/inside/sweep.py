"""Looks at what a set-up left, in a container of its own, as root and with nothing to reach.

Reads one line of JSON from standard input: ``since_ns``, ``needles`` (texts in base64). Takes away
what gives rights (setuid, setgid, a way to write for all) and what is no file (devices, sockets,
pipes), and writes one line of JSON: ``mended`` and ``removed`` (paths), ``found`` (files with a
needle), ``changed`` (programs and what they load that is new or other), and
whether the folder ``environment`` holds programs.
"""

from __future__ import annotations

import base64
import json
import os
import stat
import sys

_PIECE = 1 << 22
_SKIPPED = ("/proc", "/sys", "/dev")
_PROGRAMS = ("/bin/", "/sbin/", "/usr/", "/lib", "/opt/moonpool/", "/etc/")
_MENTIONED = 20_000
_RIGHTS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX | stat.S_IWOTH


def _holds(path: str, needles: list[bytes]) -> bool:
    longest = max(map(len, needles))
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    with os.fdopen(handle, "rb", buffering=0) as file:
        rest = b""
        while True:
            data = file.read(_PIECE)
            if not data:
                return False
            window = rest + data
            if any(needle in window for needle in needles):
                return True
            rest = window[-(longest - 1) :] if longest > 1 else b""


class Sweep:
    """One look at everything."""

    def __init__(self, since_ns: int, needles: list[bytes]) -> None:
        self._since_ns = since_ns
        self._needles = needles
        self.rows: dict[str, list[str]] = {
            "mended": [], "removed": [], "found": [], "changed": []
        }  # fmt: skip

    def everything(self) -> None:
        device = os.lstat("/").st_dev
        waiting = ["/"]
        while waiting:
            try:
                entries = list(os.scandir(waiting.pop()))
            except OSError:
                continue
            for entry in entries:
                try:
                    info = entry.stat(follow_symlinks=False)
                    if info.st_dev == device and self._look(entry.path, info):
                        waiting.append(entry.path)
                except OSError:
                    continue

    def _look(self, path: str, info: os.stat_result) -> bool:
        """Gives whether it is a folder to go into."""
        kind = stat.S_IFMT(info.st_mode)
        if self._named(path):
            self.rows["found"].append(os.path.dirname(path))
        if kind == stat.S_IFLNK:
            if self._named(os.readlink(path)):
                self.rows["found"].append(path)
            return False
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            os.unlink(path)
            self.rows["removed"].append(path)
            return False
        rights = info.st_mode & _RIGHTS
        if rights and path != "/tmp":
            os.chmod(path, stat.S_IMODE(info.st_mode) & ~_RIGHTS & 0o777)
            self.rows["mended"].append(path)
        if kind == stat.S_IFDIR:
            return path not in _SKIPPED
        if info.st_ctime_ns >= self._since_ns:
            if path.startswith(_PROGRAMS):
                self.rows["changed"].append(path)
            if self._needles and _holds(path, self._needles):
                self.rows["found"].append(path)
        return False

    def _named(self, text: str) -> bool:
        data = os.fsencode(text)
        return any(needle in data for needle in self._needles)


def main() -> None:
    said = json.loads(sys.stdin.buffer.readline())
    sweep = Sweep(said["since_ns"], [base64.b64decode(text) for text in said["needles"]])
    sweep.everything()
    shown: dict[str, object] = {
        name: [os.fsencode(path).decode("utf-8", "replace") for path in paths[:_MENTIONED]]
        for name, paths in sweep.rows.items()
    }
    shown["environment"] = os.path.isdir(said["environment"] + "/bin")
    sys.stdout.write(json.dumps(shown) + "\n")


if __name__ == "__main__":
    main()
