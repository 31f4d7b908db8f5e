"""The guest's main loop: frames in, frames out, commands between. Runs in the restricted thread."""

from __future__ import annotations

import os
import time

from sandbox.guest import commands, files, message, placing, protocol, wire
from sandbox.guest.loop import EventLoop, GuestConfig
from sandbox.guest.protocol import Done

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sandbox.guest.message import GuestAnswer

_FRAMES_IN = 0
_FRAMES_OUT = 1
_LISTED_LIMIT = 2000


class Server:
    """Answers the host's requests until its stream ends."""

    def __init__(self, config: GuestConfig, wake: int) -> None:
        self.config = config
        self.loop = EventLoop()
        self.reader = wire.FrameReader()
        self.requests = message.RequestReader()
        self.commands = commands.GuestCommands(self.loop, self.send, config)
        self.wake = wake
        self.loop.register(_FRAMES_IN, "r", self._receive)
        self.loop.register(wake, "r", self._woken)
        self.open = True
        # Each gets the request and its number, and gives the last answer; None: that comes later.
        self._handlers: dict[type, Callable[[int, Any], GuestAnswer | None]] = {
            protocol.RunCommand: self.commands.run,
            protocol.StartProcess: self.commands.start,
            protocol.PollProcess: lambda _, wanted: self.commands.poll(wanted.process),
            protocol.EndProcess: self._end_process,
            protocol.ReadPiece: self._read,
            protocol.WritePiece: self._write,
            protocol.DeletePath: self._delete,
            protocol.ListDirectory: self._list,
            protocol.Freeze: self._freeze,
            protocol.Pause: self._pause,
            protocol.GoOn: self._go_on,
            protocol.Prolong: self._prolong,
            protocol.WalkTree: self._walk,
            protocol.FetchFiles: self._fetch,
            protocol.ListFolders: self._list_folders,
            protocol.RemoveFiles: self._place,
            protocol.PutFiles: self._place,
            protocol.RemoveFolders: self._place,
            protocol.MakeFolders: self._place,
            protocol.SetFolderModes: self._place,
        }

        if config.services is not None:
            from sandbox.guest.service_protocol import StartService  # noqa: PLC0415 - few have some

            self._handlers[StartService] = config.services.start

    def send(self, number: int, answer: GuestAnswer) -> None:
        view = memoryview(message.frame(number, answer))
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
        self.commands.finish_ended()

    def _receive(self) -> None:
        data = os.read(_FRAMES_IN, 1 << 16)
        if not data:
            self.open = False
            return
        self.config.clock.look()
        for frame in self.reader.read(data):
            whole = self.requests.read(frame)
            if whole is None:
                continue
            number, request = whole
            try:
                answer = self._handlers[type(request)](number, request)
            except OSError as error:
                reason = os.fsencode(str(error.strerror or error))
                answer = protocol.RequestFailed(errno=error.errno or 5, reason=reason, refused=[])
            if answer is not None:
                self.send(number, answer)

    # -- requests --------------------------------------------------------------------------

    def _end_process(self, _: int, wanted: protocol.EndProcess) -> GuestAnswer:
        self.commands.cancel(wanted.process)
        return Done()

    def _read(self, _: int, wanted: protocol.ReadPiece) -> GuestAnswer:
        path = self._path(wanted.path)
        data, size = files.read(path, wanted.offset, min(wanted.limit, wire.PIECE))
        return protocol.FilePiece(data=data, size=size)

    def _write(self, _: int, wanted: protocol.WritePiece) -> GuestAnswer:
        path = self._path(wanted.path)
        files.write(path, wanted.data, append=wanted.append, overwrite=wanted.overwrite)
        return Done()

    def _delete(self, _: int, wanted: protocol.DeletePath) -> GuestAnswer:
        files.delete(self._path(wanted.path))
        return Done()

    def _list(self, _: int, wanted: protocol.ListDirectory) -> GuestAnswer:
        entries, cut = files.listing(self._path(wanted.path), min(wanted.limit, _LISTED_LIMIT))
        return protocol.Listed(entries=entries, cut=cut)

    def _freeze(self, _: int, __: protocol.Freeze) -> GuestAnswer:
        """Nothing changes any more, so that a patch can be made."""
        self.commands.paused = False
        for command in self.commands.running.values():
            command.ending = b"cancelled"
        ended = self.commands.kill_all()
        self.commands.finish_ended()
        if self.config.services is not None:
            # They could hold a file of the workspace that a command has handed them open.
            self.config.services.stop()
        return protocol.Frozen(ended=ended)

    def _pause(self, _: int, __: protocol.Pause) -> GuestAnswer:
        self.commands.pause()
        return Done()

    def _go_on(self, _: int, __: protocol.GoOn) -> GuestAnswer:
        self.commands.go_on()
        return Done()

    def _prolong(self, _: int, __: protocol.Prolong) -> GuestAnswer:
        self.config.prolong()
        return Done()

    def _walk(self, number: int, wanted: protocol.WalkTree) -> GuestAnswer:
        root = self.config.workspace
        files.walk(
            root,
            root + b"/" + wanted.start if wanted.start else root,
            0 if wanted.everything else self.config.clock.since(self.config.since_ns),
            self.config.layered,
            lambda piece: self.send(number, piece),
        )
        return Done()

    def _fetch(self, number: int, wanted: protocol.FetchFiles) -> GuestAnswer:
        # All files of one answer together: what does not fit, the host asks for again.
        limit = wanted.limit
        for path in wanted.paths:
            limit -= files.fetch(
                self.config.workspace, path, limit, lambda piece: self.send(number, piece)
            )
        return Done()

    def _list_folders(self, number: int, _: protocol.ListFolders) -> GuestAnswer:
        placing.odd_folders(self.config.workspace, lambda piece: self.send(number, piece))
        return Done()

    def _place(self, _: int, wanted: placing.Placing) -> GuestAnswer:
        tree = placing.Tree(self.config.workspace)
        try:
            return protocol.Placed(failed=tree.each(wanted))
        finally:
            tree.close()

    def _path(self, path: bytes) -> bytes:
        return path if path.startswith(b"/") else self.config.workspace + b"/" + path
