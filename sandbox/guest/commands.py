"""Commands and background processes: start, feed, read, time out, end with the whole tree.

Runs in the restricted thread, so everything it starts inherits the policy. Started by
posix_spawn (vfork underneath): a fork of the guest would cost more than the command.
"""

from __future__ import annotations

import os
import time

from sandbox.guest import files, landlock, noticed, processes, shellstate
from sandbox.guest.pipes import SCRATCH, Command, Spills, Stream, create

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sandbox.guest.loop import EventLoop, GuestConfig
    from sandbox.guest.wire import Outgoing

_STATE_FD = 200
_SCRIPT_KEPT = 4000
_PRINTED = 1 << 15
"""How much of a background process's output is looked at for refusals, of each stream."""
_EACCES = 13
_TOO_LARGE = 128 + 25
"""Ended by SIGXFSZ: one file has reached the limit of the disk."""
_ARGUMENT_LIMIT = 100_000
"""The kernel takes 128 KiB in one argument; a longer script goes through a file."""
# What Python ignores, and what a shell must not inherit ignored: SIGPIPE, SIGXFSZ.
_DEFAULT_SIGNALS = (13, 25)

_WRAPPER = (
    b'trap \'{ printf "%s\\0" "$PWD"; export -p; } 2>/dev/null >&200\' EXIT; '
    b'__moonpool=$1; shift; eval "unset __moonpool; $__moonpool"'
)


class GuestCommands:
    """All that runs. `loop` is the server's poll: register(fd, events, handler), unregister(fd)."""

    def __init__(
        self, loop: EventLoop, send: Callable[[Outgoing], None], config: GuestConfig
    ) -> None:
        self.loop = loop
        self.send = send
        self.keep = config.keep
        self.shell = shellstate.ShellState(config.workspace, config.environment)
        self.running: dict[int, Command] = {}  # by pid
        self.background: dict[int, Command] = {}  # by number
        self.oom_adjust = config.oom_adjust
        self.noticed = noticed.Noticed(config, self.shell)
        self.spills = Spills()
        self.look_at = 0.0
        self.first_look = True  # since something runs
        self.null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self.disk = config.disk
        self.paused = False

    # -- starting --------------------------------------------------------------------------

    def run(
        self,
        number: int,
        argv: list[bytes],
        script: bytes | None,
        timeout_ms: int,
        stdin: bytes | list[bytes] | None,
    ) -> None:
        """Start a command in the foreground; its end is reported with a `done` frame."""
        command = Command(number)
        pipes = [os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)]
        ends = [pipes[0][1], pipes[1][1]]
        actions: list[Any] = []
        if isinstance(stdin, bytes):
            read_end, command.stdin = os.pipe2(os.O_CLOEXEC)
            ends.append(read_end)
            command.stdin_data = stdin
            actions.append((os.POSIX_SPAWN_DUP2, read_end, 0))
        elif not stdin:
            actions.append((os.POSIX_SPAWN_DUP2, self.null, 0))
        actions.append((os.POSIX_SPAWN_DUP2, pipes[0][1], 1))
        actions.append((os.POSIX_SPAWN_DUP2, pipes[1][1], 2))
        if script is not None:
            command.state, state_end = os.pipe2(os.O_CLOEXEC)
            ends.append(state_end)
            actions.append((os.POSIX_SPAWN_DUP2, state_end, _STATE_FD))
        command.out = Stream(number, 1, pipes[0][0], self.keep)
        command.err = Stream(number, 2, pipes[1][0], self.keep)
        try:
            if isinstance(stdin, list):
                # Opened here, not by the spawn, which would stand still before a named pipe.
                ends.append(files.open_regular(stdin[0], os.O_RDONLY))
                actions.append((os.POSIX_SPAWN_DUP2, ends[-1], 0))
            if script is not None:
                command.script = script[:_SCRIPT_KEPT]
                argv = self._shell_arguments(number, script)
            self._spawn(command, argv, actions)
        except OSError as error:
            for handle in (pipes[0][0], pipes[1][0], command.state, command.stdin):
                if handle >= 0:
                    os.close(handle)
            self._not_started(number, argv or [b"bash"], error)
            return
        finally:
            for handle in ends:
                os.close(handle)
        if timeout_ms:
            command.deadline = time.monotonic() + timeout_ms / 1000
        self._connect(command)
        self._watch(command)

    def _not_started(self, number: int, argv: list[bytes], error: OSError) -> None:
        reason = os.fsencode(str(error.strerror))
        program = b"/bin/bash" if argv[0] == b"bash" else argv[0]
        refused = self.noticed.not_started(program) if error.errno == _EACCES else []
        self.send([b"err", number, error.errno or 5, reason, refused])

    def _connect(self, command: Command) -> None:
        """Have the loop look at the command's pipes."""
        out, err = command.out, command.err
        # The state is not watched: it is read at the end, and now and then in case it is full.
        for handle in (out.handle, err.handle, command.state, command.stdin):
            if handle >= 0:
                os.set_blocking(handle, False)
        self.loop.register(out.handle, "r", lambda: self._readable(out))
        self.loop.register(err.handle, "r", lambda: self._readable(err))
        if command.stdin >= 0:
            self.loop.register(command.stdin, "w", lambda: self._stdin_writable(command))

    def start(self, number: int, script: bytes) -> None:
        """Start a background process; its output goes to two files in the scratch directory."""
        command = Command(number)
        command.background = True
        command.script = script[:_SCRIPT_KEPT]
        actions: list[Any] = [(os.POSIX_SPAWN_DUP2, self.null, 0)]
        handles = []
        try:
            for stream in (1, 2):
                path = SCRATCH + b"/background-%d-%d" % (number, stream)
                handles.append(create(path, os.O_APPEND))
                actions.append((os.POSIX_SPAWN_DUP2, handles[-1], stream))
            argv = [b"bash", b"-c", script, b"bash"]
            if len(script) > _ARGUMENT_LIMIT:
                argv[2] = b". " + self._script_file(number, script)
            self._spawn(command, argv, actions)
        except OSError as error:
            self._not_started(number, [b"bash"], error)
            return
        finally:
            for handle in handles:
                os.close(handle)
        self.background[number] = command
        self._watch(command)
        self.send([b"ok", number, command.pid])

    def _shell_arguments(self, number: int, script: bytes) -> list[bytes]:
        if len(script) > _ARGUMENT_LIMIT:
            script = b". " + self._script_file(number, script)
        return [b"bash", b"-c", _WRAPPER, b"bash", script]

    def _script_file(self, number: int, script: bytes) -> bytes:
        path = SCRATCH + b"/script-%d" % number
        handle = create(path)
        try:
            view = memoryview(script)
            while view:
                view = view[os.write(handle, view) :]
        finally:
            os.close(handle)
        return path

    def _spawn(self, command: Command, argv: list[bytes], actions: list[Any]) -> None:
        shell = self.shell
        try:
            os.chdir(shell.directory)
        except OSError:
            shell.directory = shell.workspace
            try:
                os.chdir(shell.directory)
            except PermissionError:
                # A command took it from itself, and from all after it.
                os.chmod(shell.directory, 0o700)
                os.chdir(shell.directory)
        program = b"/bin/bash" if argv[0] == b"bash" else shell.find(argv[0])
        # A process inherits this: under memory pressure the kernel then ends commands, not us.
        # It needs no privilege to go back to what the container started with.
        if self.oom_adjust >= 0:
            os.pwrite(self.oom_adjust, b"800", 0)
        try:
            command.pid = os.posix_spawn(
                program,
                argv,
                shell.environment,
                file_actions=actions,
                setsid=True,
                setsigmask=(),
                setsigdef=_DEFAULT_SIGNALS,
            )
        finally:
            if self.oom_adjust >= 0:
                os.pwrite(self.oom_adjust, b"0", 0)

    def _watch(self, command: Command) -> None:
        if not self.running:
            self.first_look, self.look_at = True, 0.0
        self.running[command.pid] = command
        try:
            command.pidfd = landlock.pidfd_open(command.pid)
        except OSError:
            return  # no pidfd: the leader's wake-up on SIGCHLD finds it a little later
        self.loop.register(command.pidfd, "r", lambda: self._ended(command))

    # -- while it runs ---------------------------------------------------------------------

    def _readable(self, stream: Stream) -> bool:
        handle = stream.handle
        more = stream.receive(self.send)
        if stream.handle < 0:
            self.loop.unregister(handle)
        return more

    def _stdin_writable(self, command: Command) -> None:
        if not command.feed():
            self.loop.unregister(command.stdin)
            os.close(command.stdin)
            command.stdin = -1

    def next_deadline(self) -> float | None:
        """Monotonic time of the next thing to do, or None."""
        times = [c.deadline for c in self.running.values() if c.deadline is not None]
        if self.running and not self.paused:
            times.append(self.look_at)
        return min(times) if times else None

    def tick(self) -> None:
        """End what ran out of time, and everything when the disk is used up."""
        now = time.monotonic()
        foreground = [c for c in self.running.values() if not c.background]
        for command in foreground:
            command.read_state()
            if command.deadline is not None and now >= command.deadline:
                command.deadline = None
                command.ending = b"timed out"
                self._end_tree(command)
        if self.running and now >= self.look_at and not self.paused:
            self._look_at_disk()

    def _look_at_disk(self) -> None:
        room = self.disk.room()
        if not room:
            # Stopped, so that nothing is written while we count.
            processes.stop_others()
            over = self.disk.exceeded()
            if over:
                self.noticed.limits[b"disk"] = None
            # What was there before any of these began is not their doing: one may delete it.
            if over and not self.first_look:
                for command in self.running.values():
                    command.ending = b"out of disk"
                self.kill_all()
            else:
                processes.continue_others()
        self.first_look = False
        self.look_at = time.monotonic() + self.disk.pause_s(room)

    def pause(self) -> None:
        """Have all that runs stand still until `go_on`. Nothing is written meanwhile, so the disk
        is not looked at: that look would have them go on."""
        self.paused = True
        processes.stop_others()

    def go_on(self) -> None:
        self.paused = False
        processes.continue_others()
        self.reap()
        self.finish_ended()

    def cancel(self, number: int) -> None:
        """End a command or background process now, with all it started."""
        for command in self.running.values():
            if command.number == number:
                command.ending = b"cancelled"
                self._end_tree(command)
                return

    # -- the end ---------------------------------------------------------------------------

    def _end_tree(self, command: Command) -> int:
        """Kill all but other background processes and what hangs on them; gives the number."""
        keep = {c.pid for c in self.background.values() if c.status is None and c is not command}
        keep.discard(0)
        if not keep:
            return self.kill_all()
        return processes.end_unattached(keep, self.reap)

    def kill_all(self) -> int:
        """Kill every process but the guest; gives the number."""
        return processes.end_all(self.reap)

    def reap(self) -> bool:
        """Take every ended child's status, orphans' too; False where no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            command = self.running.get(pid)
            if command is not None and command.status is None:
                command.status = status

    def _ended(self, command: Command) -> None:
        if command.status is None:
            self.reap()
        if command.status is not None:
            self.finish_ended()

    def finish_ended(self) -> None:
        """Report every command whose status has been taken."""
        if self.paused:
            return  # ending what one left behind would have the others go on
        ended = [(c, c.status) for c in self.running.values() if c.status is not None]
        for command, status in ended:
            del self.running[command.pid]
            if command.pidfd >= 0:
                self.loop.unregister(command.pidfd)
                os.close(command.pidfd)
            if command.background:
                self._finish_background(command, status)
            else:
                self._finish(command, status)

    def _finish(self, command: Command, status: int) -> None:
        # Anything that still lives now was left behind, and may hold the pipes open.
        leftovers = self._end_tree(command) if self.reap() else 0
        for stream in (command.out, command.err):
            while stream.handle >= 0 and self._readable(stream):
                pass
            if stream.handle >= 0:
                self.loop.unregister(stream.handle)
        command.read_state()
        if command.state >= 0:
            os.close(command.state)
        if command.stdin >= 0:
            self.loop.unregister(command.stdin)
            os.close(command.stdin)
        if command.ending == b"exited":
            self.shell.update(command.state_data)
        code = processes.exit_code(status)
        self.noticed.look_at_counters()
        if code == 137 and command.ending == b"exited" and b"memory" in self.noticed.limits:
            command.ending = b"out of memory"
        if code == _TOO_LARGE and command.ending == b"exited":
            command.ending = b"out of disk"
        printed = [bytes(stream.head + stream.tail) for stream in (command.err, command.out)]
        self.noticed.look_at_output(code, printed, command.script)
        if command.ending == b"timed out":
            code = 124
        self.send(
            [
                b"done",
                command.number,
                code,
                command.ending,
                command.out.finish(),
                command.err.finish(),
                self.shell.directory,
                leftovers,
                *self.noticed.told(),
            ]
        )
        self.spills.keep(command.out)
        self.spills.keep(command.err)

    def _finish_background(self, command: Command, status: int) -> None:
        """What it left behind ends with it; where a command runs, with that."""
        if all(other.background for other in self.running.values()) and self.reap():
            self._end_tree(command)
        printed = []
        for stream in (2, 1):
            try:
                path = SCRATCH + b"/background-%d-%d" % (command.number, stream)
                size = files.read(path, 0, 0)[1]
                printed.append(files.read(path, max(size - _PRINTED, 0), _PRINTED)[0])
            except OSError:
                continue
        self.noticed.look_at_output(processes.exit_code(status), printed, command.script)

    def poll(self, number: int) -> int | None:
        """State of a background process: exit code or None."""
        self.reap()
        self.finish_ended()
        command = self.background.get(number)
        if command is None:
            raise ProcessLookupError(3, "no such background process")
        return None if command.status is None else processes.exit_code(command.status)
