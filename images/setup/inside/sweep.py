"""Looks at what a set-up left, in a container of its own, as root and with nothing to reach.

Reads one line of JSON from standard input: ``since_ns``, ``whole`` (whether it looks below folders
that are older too), ``needles`` (texts in base64), ``inputs`` (paths in the workspace, which brings
them itself, likewise), ``brought`` (a directory of ours, gone at the end), ``environment``. Gives
the workspace to the agent, and takes away what gives rights (setuid, setgid, a way to write for
all) and what is no file (devices, sockets, pipes). Writes one line of JSON: ``found`` (files with a
needle), ``changed`` (programs and what they load that is new or other), ``unseen`` (what it could
not look into), and whether the folder ``environment`` holds programs, and the workspace anything
(``left``).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import stat
import sys

_PIECE = 1 << 22
_PATH = 200
_LONGEST = 2048
"""Of a folder's path, in bytes: an engine has it below another path, and stores without a word what
the kernel does not take from there (4,096)."""
_UID = 1000
_WORKSPACE = "/workspace"
_GIVEN = (_WORKSPACE + "/", "/opt/venv/")
"""What is the agent's."""
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
    """One look at everything, or at all that is new.

    A layer holds every folder above what it changes, so an older folder has nothing new below it.
    """

    def __init__(self, since_ns: int, needles: list[bytes], *, whole: bool) -> None:
        self._since_ns = since_ns
        self._needles = needles
        self._whole = whole
        self.rows: dict[str, list[str]] = {"found": [], "changed": [], "unseen": []}

    def everything(self) -> None:
        device = os.lstat("/").st_dev
        waiting = ["/"]
        while waiting:
            folder = waiting.pop()
            if len(os.fsencode(folder)) > _LONGEST:
                self.rows["unseen"].append(folder[:_PATH])
                continue
            try:
                entries = list(os.scandir(folder))
            except OSError:  # such as a path longer than the kernel takes
                self.rows["unseen"].append(folder[:_PATH])
                continue
            for entry in entries:
                try:
                    info = entry.stat(follow_symlinks=False)
                    if info.st_dev == device and self._look(entry.path, info):
                        waiting.append(entry.path)
                except OSError:
                    self.rows["unseen"].append(entry.path[:_PATH])

    def _look(self, path: str, info: os.stat_result) -> bool:
        """Gives whether it is a folder to go into."""
        kind = stat.S_IFMT(info.st_mode)
        if info.st_uid != _UID and path.startswith(_GIVEN):
            os.chown(path, _UID, _UID, follow_symlinks=False)
        if self._named(path):
            self.rows["found"].append(os.path.dirname(path))
        if kind == stat.S_IFLNK:
            if self._named(os.readlink(path)):
                self.rows["found"].append(path)
            return False
        if kind not in (stat.S_IFREG, stat.S_IFDIR):
            os.unlink(path)
            return False
        rights = info.st_mode & _RIGHTS
        if rights and path != "/tmp":
            os.chmod(path, stat.S_IMODE(info.st_mode) & ~_RIGHTS & 0o777)
        if kind == stat.S_IFDIR:
            new = self._whole or info.st_ctime_ns >= self._since_ns
            return new and path not in _SKIPPED
        if info.st_ctime_ns >= self._since_ns:
            if path.startswith(_PROGRAMS):
                self.rows["changed"].append(path)
            if self._needles and _holds(path, self._needles):
                self.rows["found"].append(path)
        return False

    def _named(self, text: str) -> bool:
        data = os.fsencode(text)
        return any(needle in data for needle in self._needles)


def _clear(inputs: list[bytes]) -> bool:
    """Takes away what the workspace brings itself; gives whether anything else stands there."""
    if os.path.islink(_WORKSPACE) or not os.path.isdir(_WORKSPACE):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_WORKSPACE)
        os.mkdir(_WORKSPACE)
    os.chown(_WORKSPACE, _UID, _UID)
    top = os.fsencode(_WORKSPACE)
    for path in inputs:
        folder, *names = [top, *path.split(b"/")]
        for name in names[:-1]:
            folder = os.path.join(folder, name)
            if os.path.islink(folder):
                break
        else:
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(folder, names[-1]))
                while folder != top:
                    os.rmdir(folder)
                    folder = os.path.dirname(folder)
    return bool(os.listdir(top))


def main() -> None:
    said = json.loads(sys.stdin.buffer.readline())
    left = _clear([base64.b64decode(path) for path in said["inputs"]])
    needles = [base64.b64decode(text) for text in said["needles"]]
    sweep = Sweep(said["since_ns"], needles, whole=said["whole"])
    sweep.everything()
    shown: dict[str, object] = {
        name: [os.fsencode(path).decode("utf-8", "replace") for path in paths[:_MENTIONED]]
        for name, paths in sweep.rows.items()
    }
    shown["environment"] = os.path.isdir(said["environment"] + "/bin")
    shown["left"] = left
    if said["brought"]:
        shutil.rmtree(said["brought"])
    sys.stdout.write(json.dumps(shown) + "\n")


if __name__ == "__main__":
    main()
