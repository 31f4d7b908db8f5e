"""The guest's main loop: frames in, frames out, commands between. Runs in the restricted thread."""

import os
import select
import time

from sandbox.guest import commands, disk, files, wire

_FRAMES_IN = 0
_FRAMES_OUT = 1


class Config:
    """What the host said in its first frame, and what was opened before the restriction."""

    def __init__(self):  # type: ignore[no-untyped-def]
        self.workspace = b""
        self.environment = {}
        self.keep = 0
        self.disk = None
        self.oom_adjust = -1
        self.oom_counter = -1
        self.since_ns = 0


class Loop:
    """select.poll with a handler for each descriptor."""

    def __init__(self):  # type: ignore[no-untyped-def]
        self._poll = select.poll()
        self._handlers = {}

    def register(self, handle, events, handler):  # type: ignore[no-untyped-def]
        self._handlers[handle] = handler
        self._poll.register(handle, select.POLLIN if events == "r" else select.POLLOUT)

    def unregister(self, handle):  # type: ignore[no-untyped-def]
        if self._handlers.pop(handle, None) is not None:
            self._poll.unregister(handle)

    def turn(self, timeout_s):  # type: ignore[no-untyped-def]
        timeout_ms = None if timeout_s is None else max(int(timeout_s * 1000) + 1, 0)
        for handle, _ in self._poll.poll(timeout_ms):
            handler = self._handlers.get(handle)
            if handler is not None:
                handler()


class Server:
    """Answers the host's requests until its stream ends."""

    def __init__(self, config, wake):  # type: ignore[no-untyped-def]
        self.config = config
        self.loop = Loop()
        self.reader = wire.Reader()
        self.commands = commands.Commands(self.loop, self.send, config)
        self.wake = wake
        self.loop.register(_FRAMES_IN, "r", self._receive)
        self.loop.register(wake, "r", self._woken)
        self.open = True

    def send(self, value):  # type: ignore[no-untyped-def]
        view = memoryview(wire.frame(value))
        while view:
            view = view[os.write(_FRAMES_OUT, view) :]

    def run(self):  # type: ignore[no-untyped-def]
        while self.open:
            deadline = self.commands.next_deadline()
            self.loop.turn(None if deadline is None else deadline - time.monotonic())
            if deadline is not None:
                self.commands.tick()

    def _woken(self):  # type: ignore[no-untyped-def]
        os.read(self.wake, 4096)
        self.commands.reap()
        self.commands.finish_ended()

    def _receive(self):  # type: ignore[no-untyped-def]
        data = os.read(_FRAMES_IN, 1 << 16)
        if not data:
            self.open = False
            return
        self.reader.feed(data)
        for request in self.reader:
            self._answer(request)

    def _answer(self, request):  # type: ignore[no-untyped-def]
        name, number = request[0], request[1]
        handler = getattr(self, "do_" + name.decode("ascii"))
        try:
            handler(number, *request[2:])
        except OSError as error:
            reason = os.fsencode(str(error.strerror or error))
            self.send([b"err", number, error.errno or 5, reason])

    # -- requests --------------------------------------------------------------------------

    def do_run(self, number, argv, script, timeout_ms, stdin):  # type: ignore[no-untyped-def]
        self.commands.run(number, argv, script, timeout_ms, stdin)

    def do_start(self, number, script):  # type: ignore[no-untyped-def]
        self.commands.start(number, script)

    def do_poll(self, number, target):  # type: ignore[no-untyped-def]
        self.send([b"ok", number, self.commands.poll(target)])

    def do_cancel(self, number, target):  # type: ignore[no-untyped-def]
        self.commands.cancel(target)
        self.send([b"ok", number])

    def do_read(self, number, path, offset, limit):  # type: ignore[no-untyped-def]
        data, size = files.read(self._path(path), offset, min(limit, wire.PIECE))
        self.send([b"ok", number, data, size])

    def do_write(self, number, path, data, append, overwrite):  # type: ignore[no-untyped-def]
        files.write(self._path(path), data, append, overwrite)
        self.send([b"ok", number])

    def do_delete(self, number, path):  # type: ignore[no-untyped-def]
        files.delete(self._path(path))
        self.send([b"ok", number])

    def do_list(self, number, path, limit):  # type: ignore[no-untyped-def]
        rows, cut = files.listing(self._path(path), min(limit, 2000))
        self.send([b"ok", number, rows, cut])

    def do_freeze(self, number):  # type: ignore[no-untyped-def]
        """End everything but the guest, so that nothing changes while the patch is made."""
        for command in self.commands.running.values():
            command.ending = b"cancelled"
        killed = self.commands.kill_all()
        self.commands.reap()
        self.commands.finish_ended()
        self.send([b"ok", number, killed])

    def do_walk(self, number, start, everything):  # type: ignore[no-untyped-def]
        root = self.config.workspace
        since = 0 if everything else self.config.since_ns
        files.walk(
            root,
            root + b"/" + start if start else root,
            since,
            lambda changed, directories: self.send([b"walk", number, changed, directories]),
        )
        self.send([b"ok", number])

    def do_fetch(self, number, paths):  # type: ignore[no-untyped-def]
        for path in paths:
            files.fetch(
                self.config.workspace, path, lambda value: self.send([b"fetch", number, value])
            )
        self.send([b"ok", number])

    def do_install(self, number, path, mode, data, append):  # type: ignore[no-untyped-def]
        files.install(self.config.workspace, path, mode, data, append)
        self.send([b"ok", number])

    def _path(self, path):  # type: ignore[no-untyped-def]
        return path if path.startswith(b"/") else self.config.workspace + b"/" + path


def make_disk(config, limit):  # type: ignore[no-untyped-def]
    return disk.Disk([config.workspace, b"/tmp", config.environment.get(b"HOME", b"/tmp")], limit)
