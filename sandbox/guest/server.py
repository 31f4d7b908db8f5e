"""The guest's main loop: frames in, frames out, commands between. Runs in the restricted thread."""

from __future__ import annotations

import os
import time

from sandbox.guest import commands, disk, files, restoring, wire
from sandbox.guest.loop import EventLoop, GuestConfig

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sandbox.guest.wire import Outgoing

_FRAMES_IN = 0
_FRAMES_OUT = 1


class Server:
    """Answers the host's requests until its stream ends."""

    def __init__(self, config: GuestConfig, wake: int) -> None:
        self.config = config
        self.loop = EventLoop()
        self.reader = wire.FrameReader()
        self.commands = commands.GuestCommands(self.loop, self.send, config)
        self.wake = wake
        self.loop.register(_FRAMES_IN, "r", self._receive)
        self.loop.register(wake, "r", self._woken)
        self.open = True

    def send(self, value: Outgoing) -> None:
        view = memoryview(wire.frame(value))
        while view:
            view = view[os.write(_FRAMES_OUT, view) :]

    def run(self) -> None:
        while self.open:
            deadline = self.commands.next_deadline()
            self.loop.turn(None if deadline is None else deadline - time.monotonic())
            if deadline is not None:
                self.commands.tick()

    def _woken(self) -> None:
        os.read(self.wake, 4096)
        self.commands.reap()
        self.commands.finish_ended()

    def _receive(self) -> None:
        data = os.read(_FRAMES_IN, 1 << 16)
        if not data:
            self.open = False
            return
        self.reader.feed(data)
        for request in self.reader:
            self._answer(request)

    def _answer(self, request: Any) -> None:
        name, number = request[0], request[1]
        handler = getattr(self, "do_" + name.decode("ascii"))
        try:
            handler(number, *request[2:])
        except OSError as error:
            reason = os.fsencode(str(error.strerror or error))
            self.send([b"err", number, error.errno or 5, reason])

    # -- requests --------------------------------------------------------------------------

    def do_run(
        self,
        number: int,
        argv: list[bytes],
        script: bytes | None,
        timeout_ms: int,
        stdin: bytes | list[bytes] | None,
    ) -> None:
        self.commands.run(number, argv, script, timeout_ms, stdin)

    def do_start(self, number: int, script: bytes) -> None:
        self.commands.start(number, script)

    def do_poll(self, number: int, target: int) -> None:
        self.send([b"ok", number, self.commands.poll(target)])

    def do_cancel(self, number: int, target: int) -> None:
        self.commands.cancel(target)
        self.send([b"ok", number])

    def do_read(self, number: int, path: bytes, offset: int, limit: int) -> None:
        data, size = files.read(self._path(path), offset, min(limit, wire.PIECE))
        self.send([b"ok", number, data, size])

    def do_write(self, number: int, path: bytes, data: bytes, append: int, overwrite: int) -> None:
        files.write(self._path(path), data, append, overwrite)
        self.send([b"ok", number])

    def do_delete(self, number: int, path: bytes) -> None:
        files.delete(self._path(path))
        self.send([b"ok", number])

    def do_list(self, number: int, path: bytes, limit: int) -> None:
        rows, cut = files.listing(self._path(path), min(limit, 2000))
        self.send([b"ok", number, rows, cut])

    def do_freeze(self, number: int) -> None:
        """End everything but the guest, so that nothing changes while the patch is made."""
        self.commands.paused = False
        for command in self.commands.running.values():
            command.ending = b"cancelled"
        killed = self.commands.kill_all()
        self.commands.reap()
        self.commands.finish_ended()
        self.send([b"ok", number, killed])

    def do_pause(self, number: int) -> None:
        """Have everything but the guest stand still while the files are looked at."""
        self.commands.pause()
        self.send([b"ok", number])

    def do_continue(self, number: int) -> None:
        self.commands.go_on()
        self.send([b"ok", number])

    def do_prolong(self, number: int) -> None:
        """Live for a whole lifetime from now: the host is there and has work."""
        self.config.end = time.monotonic() + self.config.lifetime_s
        self.send([b"ok", number])

    def do_walk(self, number: int, start: bytes, everything: int) -> None:
        root = self.config.workspace
        since = 0 if everything else self.config.since_ns
        files.walk(
            root,
            root + b"/" + start if start else root,
            since,
            lambda changed, directories: self.send([b"walk", number, changed, directories]),
        )
        self.send([b"ok", number])

    def do_fetch(self, number: int, paths: list[bytes], limit: int) -> None:
        # All files of one answer together: what does not fit, the host asks for again.
        for path in paths:
            limit -= files.fetch(
                self.config.workspace,
                path,
                limit,
                lambda value: self.send([b"fetch", number, value]),
            )
        self.send([b"ok", number])

    def do_install(self, number: int, path: bytes, mode: int, data: bytes, append: int) -> None:
        files.install(self.config.workspace, path, mode, data, append)
        self.send([b"ok", number])

    def do_folders(self, number: int) -> None:
        restoring.folders(self.config.workspace, lambda rows: self.send([b"folders", number, rows]))
        self.send([b"ok", number])

    def do_restore(self, number: int, what: bytes, rows: list[Any]) -> None:
        """Do one thing (a method of `restoring.Tree`) to each of many paths."""
        tree = restoring.Tree(self.config.workspace)
        act = getattr(tree, what.decode("ascii"))
        try:
            self.send([b"ok", number, tree.each(rows, act)])
        finally:
            tree.close()

    def _path(self, path: bytes) -> bytes:
        return path if path.startswith(b"/") else self.config.workspace + b"/" + path


def make_disk(config: GuestConfig, limit: int, *, restarted: bool) -> disk.Disk:
    roots = [config.workspace, b"/tmp", config.environment.get(b"HOME", b"/tmp"), *config.writable]
    return disk.Disk(roots, limit, config.since_ns, restarted=restarted)
