"""The process that a policy's services hang on: it starts them, and has them stand still.

A fork of the guest from before any rule, so that a service can be held to other rules than commands
are; nothing but its own code ever runs in it. It is in a domain of reach, and so is each service
within that: no command can signal or trace it or them, nor they each other, it or the guest. Every
process that descends from a service stays below it, however it forks.
"""

from __future__ import annotations

import os
import select
import time

from sandbox.guest import landlock, processes, wire
from sandbox.guest.service_protocol import StartService
from sandbox.guest.unnamed import Unnamed

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any
else:
    import _signal as signal  # as in `init`

BEGIN, STOP, GO_ON, END = b"begin", b"stop", b"go on", b"end"
"""What is asked of the supervisor: the first value of a frame."""

_READ = 1 << 16
_KEPT = 4096
"""How much of a service's output is kept, in bytes: the last."""
_TURN_S = 1.0
"""How often ended processes are taken at least."""
_FIRST_TRY_S = 0.02
_SLOWEST_TRY_S = 0.5
_TRY_S = 10.0
"""One try of a ready line takes at most so long."""
_DETACHED_S = 10.0
"""A service whose command has ended well may be in the background: so long it may take then."""
_STILL_S = 2.0
_SIGSTOP, _SIGCONT, _SIGKILL = 19, 18, 9


def begin(environment: dict[bytes, bytes]) -> tuple[int, int, int]:
    """Fork the supervisor: its process id, and the ends of the pipes to it and from it.

    Called by the guest while it has one thread and no rules.
    """
    theirs, requests = os.pipe2(os.O_CLOEXEC)
    answers, ours = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid:
        os.close(theirs)
        os.close(ours)
        return pid, requests, answers
    try:
        os.close(requests)
        os.close(answers)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        os.dup2(null, 0)
        os.dup2(null, 1)  # the guest's frames are no business of this process
        # Opened while that can be: the guest's own would change the guest.
        oom_adjust = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
        landlock.close_to_tracing()
        landlock.adopt_orphans()
        landlock.no_new_privileges()
        landlock.restrict_reach()
        Supervisor(environment, oom_adjust, null).run(theirs, ours)
    except BaseException as error:  # noqa: BLE001 - it is a fork, and must not go on
        os.write(2, os.fsencode(f"services: {type(error).__name__}: {error}\n"))
    os._exit(70)


class Supervisor:
    """Serves the guest's requests: a frame each, answered by a frame each."""

    def __init__(
        self,
        environment: dict[bytes, bytes],
        oom_adjust: int,
        null: int,
    ) -> None:
        self._environment = environment
        self._oom_adjust = oom_adjust
        self._own = os.getpid()
        self._statuses: dict[int, int | None] = {}
        """Of processes that are waited for; None while they run."""
        self._printed: dict[int, bytearray] = {}
        """By descriptor of a service's output."""
        self._null = null

    def run(self, requests: int, answers: int) -> None:
        """Until the guest's end of the pipe closes, which it does when the container ends."""
        while True:
            readable = select.select([requests, *self._printed], [], [], _TURN_S)[0]
            self._reap()
            for handle in readable:
                if handle != requests:
                    self._drain(handle)
            if requests in readable:
                request = next_frame(requests)
                if request is None:
                    return
                write_frame(answers, self._answer(request[0], request[1:]))

    def _answer(self, word: bytes, values: list[Any]) -> list[wire.Value]:
        if word == BEGIN:
            return self._begin(StartService.read(values))
        if word == STOP:
            return self._stop()
        # In its own reach, which is what is within the domain of this process: no command.
        processes.signal_others(_SIGCONT if word == GO_ON else _SIGKILL)
        return []

    # -- starting --------------------------------------------------------------------------

    def _begin(self, service: StartService) -> list[wire.Value]:
        """Start a service and wait until it is ready; as the fields of `ServiceStarted`."""
        began = time.monotonic()
        until = began + service.timeout_ms / 1000
        try:
            os.mkdir(service.directory, 0o700)
        except FileExistsError:
            pass
        output, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(output, False)
        printed = self._printed[output] = bytearray()
        try:
            main = self._start(service, service.command, theirs)
        finally:
            os.close(theirs)
        pause = _FIRST_TRY_S
        tried = b""
        while True:
            good, tried = self._try(service, until, tried)
            self._drain(output)
            status = self._statuses[main]
            code = None if status is None else processes.exit_code(status)
            now = time.monotonic()
            ending = b""
            if code:
                ending = b"ended"
            elif good:
                ending = b"ready"
            elif now >= until:
                ending = b"timed out"
            if ending:
                waited = int((now - began) * 1000)
                return [ending, code, waited, bytes(printed), b"" if good else tried]
            if code == 0:
                until = min(until, now + _DETACHED_S)
            self._wait(min(pause, max(until - now, 0)))
            pause = min(pause * 1.5, _SLOWEST_TRY_S)

    def _try(self, service: StartService, until: float, before: bytes) -> tuple[bool, bytes]:
        """Run a ready line once; gives whether it succeeded, and what it printed."""
        output, theirs = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(output, False)
        said = bytearray()
        open_ = True
        try:
            pid = self._start(service, service.ready, theirs)
        except OSError as error:
            os.close(output)
            return False, os.fsencode(str(error))
        finally:
            os.close(theirs)
        until = min(until, time.monotonic() + _TRY_S)
        while self._statuses[pid] is None and time.monotonic() < until:
            self._wait(0.005, *((output,) if open_ else ()))
            open_ = open_ and _take(output, said)
        if self._statuses[pid] is None:
            try:
                os.killpg(pid, _SIGKILL)
            except ProcessLookupError:  # it has no session of its own yet
                os.kill(pid, _SIGKILL)
            if said or not before:
                said += b"\n(it did not end)"
        elif open_:
            _take(output, said)
        os.close(output)
        return self._statuses.pop(pid) == 0, bytes(said[-_KEPT:]) or before

    def _wait(self, pause_s: float, *also: int) -> None:
        """Let time pass, with what services print taken meanwhile, and what ended."""
        for handle in select.select([*self._printed, *also], [], [], pause_s)[0]:
            if handle in self._printed:
                self._drain(handle)
        self._reap()

    def _start(self, service: StartService, line: bytes, output: int) -> int:
        """Start a shell line in the service's domain; gives its process id."""
        # It inherits this: under memory pressure the kernel ends services and commands, not us.
        os.pwrite(self._oom_adjust, b"800", 0)
        try:
            pid = os.fork()
        finally:
            if os.getpid() == self._own:
                os.pwrite(self._oom_adjust, b"0", 0)
        if pid:
            self._statuses[pid] = None
            return pid
        try:
            self._become(service, line, output)
        except BaseException as error:  # noqa: BLE001 - it is a fork, and must not go on
            os.write(2, os.fsencode(f"{type(error).__name__}: {error}\n"))
        os._exit(126)

    def _become(self, service: StartService, line: bytes, output: int) -> None:
        os.setsid()
        os.dup2(self._null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(service.directory)
        landlock.restrict_files(service.rules)
        landlock.restrict_reach()
        landlock.keep_to_oneself()
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        own = {b"HOME": service.directory, b"TMPDIR": service.directory, b"PWD": service.directory}
        os.execve(  # noqa: S606 - a program in a process of its own
            b"/bin/bash", [b"bash", b"-c", line], {**self._environment, **own}
        )

    # -- while they run --------------------------------------------------------------------

    def _drain(self, handle: int) -> None:
        """Take what a service printed; a part of it is kept."""
        kept = self._printed.get(handle)
        if kept is not None and not _take(handle, kept):
            del self._printed[handle]
            os.close(handle)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid in self._statuses:
                self._statuses[pid] = status

    def _stop(self) -> list[wire.Value]:
        """Have all services stand still; what they hold without a name: bytes, and whether more."""
        processes.signal_others(_SIGSTOP)
        until = time.monotonic() + _STILL_S
        while True:
            self._reap()
            below = processes.below(os.getpid())
            if all(state in b"TtZX" for _, state in below) or time.monotonic() > until:
                break
            time.sleep(0.001)
        held = Unnamed({pid for pid, _ in below})
        return [held.least(), int(held.more())]


def _take(handle: int, kept: bytearray) -> bool:
    """Read what is there, bounded, and keep the last of it; False at the end."""
    try:
        data = os.read(handle, _READ)
    except BlockingIOError:
        return True
    kept += data
    del kept[:-_KEPT]
    return bool(data)


def write_frame(handle: int, values: list[Any]) -> None:
    """To a pipe that is read by `next_frame`."""
    view = memoryview(wire.frame(values))
    while view:
        view = view[os.write(handle, view) :]


def next_frame(handle: int) -> Any:
    """What stands in the next frame; None at the end of the pipe."""
    head = _exactly(handle, 4)
    body = _exactly(handle, int.from_bytes(head, "big")) if head else b""
    return wire.decode(body) if body else None


def _exactly(handle: int, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = os.read(handle, count - len(data))
        if not piece:
            return b""
        data += piece
    return data
