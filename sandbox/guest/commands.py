"""Commands and background processes while they live: feed, read, time out, end with the whole tree.

Runs in the restricted thread, as everything that it has started.
"""

from __future__ import annotations

import os
import time

from sandbox.guest import files, landlock, noticed, processes, protocol, shellstate
from sandbox.guest.pipes import RunningCommand, Spills, Stream
from sandbox.guest.spawn import NoDirectory, Spawner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.guest.loop import EventLoop, GuestConfig
    from sandbox.guest.message import GuestAnswer

_PRINTED = 1 << 15
"""How much of a background process's output is looked at for refusals, in bytes of each stream."""
_EACCES = 13
_LAST_READS = 32
"""How often a pipe is read at a command's end, where others live that could fill it without end:
more than a pipe holds, so all that the command itself printed is there."""
_TOO_LARGE = 128 + 25
"""Ended by SIGXFSZ: one file has reached the limit of the disk."""


class GuestCommands:
    """All that runs."""

    def __init__(
        self, loop: EventLoop, send: Callable[[int, GuestAnswer], None], config: GuestConfig
    ) -> None:
        self.loop = loop
        self.send = send
        self.shell = shellstate.ShellState(config.workspace, config.environment)
        self.spawner = Spawner(config, self.shell, self._end_kept)
        self.running: dict[int, RunningCommand] = {}  # by pid
        self.background: dict[int, RunningCommand] = {}  # by number
        self.kept: set[int] = set()
        """Processes, by pid, that commands left running and that may go on."""
        self.noticed = noticed.Noticed(config, self.shell)
        self.spills = Spills()
        self.look_at = 0.0
        self.first_look = True  # since something runs
        self.disk = config.disk
        self.paused = False
        self.services = config.services
        self.aside = 0 if config.services is None else config.services.pid
        """The process that services descend from, which are no command's."""

    # -- starting --------------------------------------------------------------------------

    def run(self, number: int, wanted: protocol.RunCommand) -> None:
        """Start a command in the foreground; its end is reported when it comes."""
        self._services_go_on()
        program = wanted.program
        if (self.kept or (program and program.keeps)) and self.noticed.crowded():
            self._end_kept()
        try:
            command = self.spawner.foreground(number, wanted)
        except OSError as error:
            self.send(number, self._not_started(program.argv[0] if program else b"bash", error))
            return
        if wanted.timeout_ms:
            command.deadline = time.monotonic() + wanted.timeout_ms / 1000
        self._connect(command)
        self._watch(command)

    def start(self, number: int, wanted: protocol.StartProcess) -> GuestAnswer:
        """Start a background process."""
        self._services_go_on()
        try:
            command = self.spawner.background(number, wanted.script)
        except OSError as error:
            return self._not_started(b"bash", error)
        self.background[number] = command
        self._watch(command)
        return protocol.Done()

    def _services_go_on(self) -> None:
        if self.services is not None:
            self.services.go_on()

    def _not_started(self, program: bytes, error: OSError) -> protocol.RequestFailed:
        path = b"/bin/bash" if program == b"bash" else program
        return protocol.RequestFailed(
            errno=error.errno or 5,
            reason=os.fsencode(str(error.strerror)),
            refused=self.noticed.not_started(path)
            if error.errno == _EACCES and not isinstance(error, NoDirectory)
            else [],
        )

    def _connect(self, command: RunningCommand) -> None:
        """Have the loop look at the command's pipes."""
        out, err = command.out, command.err
        # The state is not watched: it is read at the end, and with the disk in case it is full.
        for handle in (out.handle, err.handle, command.state, command.stdin):
            if handle >= 0:
                os.set_blocking(handle, False)
        self.loop.register(out.handle, "r", lambda: self._readable(out))
        self.loop.register(err.handle, "r", lambda: self._readable(err))
        if command.stdin >= 0:
            self.loop.register(command.stdin, "w", lambda: self._stdin_writable(command))

    def _watch(self, command: RunningCommand) -> None:
        if not self.running and not self.kept:
            self.first_look, self.look_at = True, 0.0
        self.running[command.pid] = command
        try:
            command.pidfd = landlock.pidfd_open(command.pid)
        except OSError:
            return  # no pidfd: the leader's wake-up on SIGCHLD finds it a little later
        self.loop.register(command.pidfd, "r", self.finish_ended)

    # -- while it runs ---------------------------------------------------------------------

    def _readable(self, stream: Stream) -> bool:
        handle = stream.handle
        more = stream.receive(self.send)
        if stream.handle < 0:
            self.loop.unregister(handle)
        return more

    def _stdin_writable(self, command: RunningCommand) -> None:
        if not command.feed():
            self.loop.unregister(command.stdin)
            os.close(command.stdin)
            command.stdin = -1

    def next_deadline(self) -> float | None:
        """Monotonic time of the next thing to do, or None."""
        if not (self.running or self.kept or self.services):
            return None
        times = [c.deadline for c in self.running.values() if c.deadline is not None]
        if self._looked_at():
            times.append(self.look_at)
        return min(times) if times else None

    def tick(self) -> None:
        """End what ran out of time, and everything when the disk is used up."""
        now = time.monotonic()
        foreground = [c for c in self.running.values() if not c.background]
        for command in foreground:
            if command.deadline is not None and now >= command.deadline:
                command.deadline = None
                command.ending = b"timed out"
                self._end_tree(command)
        if now >= self.look_at and self._looked_at():
            if not self.first_look:
                for command in foreground:
                    command.read_state()
            self._look_at_disk()

    def _looked_at(self) -> bool:
        """Whether something may be writing to the disk."""
        serving = self.services is not None and not self.services.still
        return bool(self.running or serving or self.kept) and not self.paused

    def _look_at_disk(self) -> None:
        left = self.disk.left()
        if not left:
            # Stopped, so that nothing is written while we count.
            processes.stop_others()
            held = (0, False) if self.services is None else self.services.stop()
            over = self.disk.exceeded(self.aside, held)
            if self.services is not None and over and any(held):
                # Only a command can have given them what lies outside of their directories.
                self.services.end()
            if over:
                self.noticed.limits[b"disk"] = None
            # What was there before any of these began is not their doing: one may delete it.
            if over and not self.first_look:
                for command in self.running.values():
                    command.ending = b"out of disk"
                self.kill_all()
            else:
                processes.continue_others()
            self._services_go_on()
        if self.kept:
            self.kept &= {pid for pid, _, _ in processes.others(self.aside)}
        self.first_look = False
        self.look_at = time.monotonic() + self.disk.pause_s(left)

    def pause(self) -> None:
        """Have all that runs stand still until `go_on`. Nothing is written meanwhile, so the disk
        is not looked at: that look would have them go on."""
        self.paused = True
        processes.stop_others()
        if self.services is not None:
            self.services.stop()

    def go_on(self) -> None:
        """Have it go on, and report what ended meanwhile."""
        self.paused = False
        processes.continue_others()
        self._services_go_on()
        self.finish_ended()

    def cancel(self, number: int) -> None:
        """End a command or background process now, with all it started."""
        for command in self.running.values():
            if command.number == number:
                command.ending = b"cancelled"
                self._end_tree(command)
                return

    # -- the end ---------------------------------------------------------------------------

    def _end_tree(self, command: RunningCommand) -> int:
        """Kill all but what else runs or may go on, and what hangs on that; gives the number."""
        keep = self.kept | {c.pid for c in self.running.values() if c is not command}
        if not keep:
            return self.kill_all()
        return processes.end_unattached(keep, self.reap, self.aside)

    def _keep(self) -> None:
        """Have what hangs on nothing that runs go on when the next command ends."""
        running = {command.pid for command in self.running.values()}
        self.kept = set(processes.unattached(processes.others(self.aside), running))

    def _end_kept(self) -> bool:
        """End what may go on, as there is no room for more processes; False where nothing may."""
        kept, self.kept = self.kept, set()
        running = {command.pid for command in self.running.values()}
        if kept and running:
            processes.end_unattached(running, self.reap, self.aside)
        elif kept:
            self.kill_all()
        return bool(kept)

    def kill_all(self) -> int:
        """Kill every process but the guest; gives the number."""
        self.kept = set()
        return processes.end_all(self.reap, self.aside)

    def reap(self) -> bool:
        """Take every ended child's status, orphans' too; False where no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return not self.aside or bool(processes.others(self.aside))
            if pid == self.aside:
                raise RuntimeError("the supervisor of services ended")
            command = self.running.get(pid)
            if command is not None and command.status is None:
                command.status = status

    def finish_ended(self) -> None:
        """Take what ended, and report every command that did."""
        alive = self.reap()
        if self.paused:
            return  # ending what one left behind would have the others go on
        ended = [(c, c.status) for c in self.running.values() if c.status is not None]
        for command, status in ended:
            del self.running[command.pid]
            if command.pidfd >= 0:
                self.loop.unregister(command.pidfd)
                os.close(command.pidfd)
            if command.background:
                self._finish_background(command, status, alive=alive)
            else:
                self._finish(command, status, alive=alive)

    def _finish(self, command: RunningCommand, status: int, *, alive: bool) -> None:
        # Anything that still lives now was left behind, and may hold the pipes open.
        leftovers = 0
        if alive:
            if command.keeps and command.ending == b"exited":
                self._keep()
            else:
                leftovers = self._end_tree(command)
        for stream in (command.out, command.err):
            reads = _LAST_READS
            while stream.handle >= 0 and reads and self._readable(stream):
                reads -= 1 if self.kept or self.running else 0
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
        streams = (command.err, command.out)
        printed = [bytes(stream.head + stream.tail) for stream in streams if stream.total]
        self.noticed.look_at_output(code, printed, command.script)
        if command.ending == b"timed out":
            code = 124
        refused, limits = self.noticed.told()
        self.send(
            command.number,
            protocol.CommandEnd(
                exit_code=code,
                ending=command.ending,
                out=command.out.finish(),
                err=command.err.finish(),
                directory=self.shell.directory,
                leftovers=leftovers,
                refused=refused,
                limits=limits,
            ),
        )
        self.spills.keep(command.out)
        self.spills.keep(command.err)

    def _finish_background(self, command: RunningCommand, status: int, *, alive: bool) -> None:
        """What it left behind ends with it; where a command runs, with that."""
        if alive and all(other.background for other in self.running.values()):
            self._end_tree(command)
        printed = []
        for stream in (2, 1):
            try:
                path = protocol.background_output(command.number, stream)
                size = files.read(path, 0, 0)[1]
                printed.append(files.read(path, max(size - _PRINTED, 0), _PRINTED)[0])
            except OSError:
                continue
        self.noticed.look_at_output(processes.exit_code(status), printed, command.script)

    def poll(self, number: int) -> protocol.ProcessState:
        """Whether a background process still runs."""
        self.finish_ended()
        command = self.background.get(number)
        if command is None:
            raise ProcessLookupError(3, "no such background process")
        status = command.status
        return protocol.ProcessState(
            exit_code=None if status is None else processes.exit_code(status)
        )
