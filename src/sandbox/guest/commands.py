"""Commands and background processes: start, feed, read, time out, end with the whole tree.

Runs in the restricted thread, so everything it starts inherits the policy. Started by
posix_spawn (vfork underneath): a fork of the guest would cost more than the command.
"""

import os
import time

from sandbox.guest import landlock, shellstate

SCRATCH = b"/tmp/.moonpool"
"""Where spilled output, output of background processes and long scripts go."""

_STATE_FD = 200
_STATE_LIMIT = 1 << 18
_ARGUMENT_LIMIT = 100_000
"""The kernel takes 128 KiB in one argument; a longer script goes through a file."""
_READ = 1 << 16
_SPILL_LIMIT = 64 << 20
_KILL_PATIENCE_S = 5.0
_SIGKILL = 9
_SIGSTOP = 19
_SIGCONT = 18
# What Python ignores, and what a shell must not inherit ignored: SIGPIPE, SIGXFSZ.
_DEFAULT_SIGNALS = (13, 25)

_WRAPPER = (
    b"trap '{ printf \"%s\\0\" \"$PWD\"; export -p; } 2>/dev/null >&200' EXIT; "
    b'__moonpool=$1; shift; eval "unset __moonpool; $__moonpool"'
)


class Stream:
    """One output stream of a command: head sent as it comes, tail kept, all of it spilled."""

    def __init__(self, command, number, handle, keep):  # type: ignore[no-untyped-def]
        self.command = command
        self.number = number
        self.handle = handle
        self.head_left = keep - keep // 2
        self.tail_size = keep // 2
        self.head = bytearray()  # what was sent, until it is known whether to spill
        self.tail = bytearray()
        self.total = 0
        self.spill = None
        self.spill_path = None
        self.spilled = 0

    def take(self, data, send):  # type: ignore[no-untyped-def]
        self.total += len(data)
        if self.head_left:
            piece = data[: self.head_left]
            self.head_left -= len(piece)
            self.head += piece
            send([b"out", self.command, self.number, piece])
            data = data[len(piece) :]
            if not data:
                return
        self.tail += data
        if self.spill is not None:
            self._spill(data)
        elif len(self.tail) > self.tail_size:
            self._open_spill()
        if len(self.tail) > 2 * self.tail_size + _READ:
            del self.tail[: len(self.tail) - self.tail_size]

    def _open_spill(self):  # type: ignore[no-untyped-def]
        path = SCRATCH + b"/out-%d-%d" % (self.command, self.number)
        self.spill = -1
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            self.spill = os.open(path, flags, 0o600)
        except OSError:
            return
        self.spill_path = path
        self._spill(bytes(self.head + self.tail))
        self.head = bytearray()

    def _spill(self, data):  # type: ignore[no-untyped-def]
        room = _SPILL_LIMIT - self.spilled
        if self.spill < 0 or room <= 0:
            return
        try:
            self.spilled += os.write(self.spill, data[:room])
        except OSError:
            os.close(self.spill)
            self.spill = -1

    def finish(self):  # type: ignore[no-untyped-def]
        """Close; gives what the host needs beside the head: tail, total, spill file and size."""
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1
        if self.spill is not None and self.spill >= 0:
            os.close(self.spill)
        tail = bytes(self.tail[-self.tail_size :]) if self.spill is not None else bytes(self.tail)
        return [tail, self.total, self.spill_path, self.spilled]


class Command:
    """A process that the guest started, with its ends of the pipes."""

    def __init__(self, number):  # type: ignore[no-untyped-def]
        self.number = number
        self.pid = 0
        self.pidfd = -1
        self.out = None
        self.err = None
        self.state = -1
        self.state_data = b""
        self.stdin = -1
        self.stdin_data = b""
        self.deadline = None
        self.ending = b"exited"
        self.status = None
        self.background = False


class Commands:
    """All that runs. `loop` is the server's poll: register(fd, events, handler), unregister(fd)."""

    def __init__(self, loop, send, config):  # type: ignore[no-untyped-def]
        self.loop = loop
        self.send = send
        self.keep = config.keep
        self.shell = shellstate.ShellState(config.workspace, config.environment)
        self.running = {}  # by pid
        self.background = {}  # by number
        self.oom_adjust = config.oom_adjust
        self.oom_counter = config.oom_counter
        self.oom_seen = self._oom_kills()
        self.null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self.disk = config.disk

    # -- starting --------------------------------------------------------------------------

    def run(self, number, argv, script, timeout_ms, stdin):  # type: ignore[no-untyped-def]
        """Start a command in the foreground; its end is reported with a `done` frame."""
        command = Command(number)
        pipes = [os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)]
        ends = [pipes[0][1], pipes[1][1]]
        actions = []
        if stdin is None:
            actions.append((os.POSIX_SPAWN_DUP2, self.null, 0))
        elif isinstance(stdin, list):
            actions.append((os.POSIX_SPAWN_OPEN, 0, stdin[0], os.O_RDONLY, 0))
        else:
            read_end, command.stdin = os.pipe2(os.O_CLOEXEC)
            ends.append(read_end)
            command.stdin_data = stdin
            actions.append((os.POSIX_SPAWN_DUP2, read_end, 0))
        actions.append((os.POSIX_SPAWN_DUP2, pipes[0][1], 1))
        actions.append((os.POSIX_SPAWN_DUP2, pipes[1][1], 2))
        if script is not None:
            command.state, state_end = os.pipe2(os.O_CLOEXEC)
            ends.append(state_end)
            actions.append((os.POSIX_SPAWN_DUP2, state_end, _STATE_FD))
            argv = self._shell_arguments(number, script)
        command.out = Stream(number, 1, pipes[0][0], self.keep)
        command.err = Stream(number, 2, pipes[1][0], self.keep)
        try:
            self._spawn(command, argv, actions)
        except OSError as error:
            for handle in (pipes[0][0], pipes[1][0], command.state, command.stdin):
                if handle >= 0:
                    os.close(handle)
            self.send([b"err", number, error.errno or 5, os.fsencode(str(error.strerror))])
            return
        finally:
            for handle in ends:
                os.close(handle)
        if timeout_ms:
            command.deadline = time.monotonic() + timeout_ms / 1000
        register = self.loop.register
        for stream in (command.out, command.err):
            os.set_blocking(stream.handle, False)
            register(stream.handle, "r", lambda s=stream: self._readable(s))
        if command.state >= 0:
            # Not watched: it is read at the end, and now and then in case it is full.
            os.set_blocking(command.state, False)
        if command.stdin >= 0:
            os.set_blocking(command.stdin, False)
            register(command.stdin, "w", lambda: self._stdin_writable(command))
        self._watch(command)

    def start(self, number, script):  # type: ignore[no-untyped-def]
        """Start a background process; its output goes to two files in the scratch directory."""
        command = Command(number)
        command.background = True
        actions = [(os.POSIX_SPAWN_DUP2, self.null, 0)]
        handles = []
        try:
            for stream in (1, 2):
                path = SCRATCH + b"/background-%d-%d" % (number, stream)
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
                handles.append(os.open(path, flags | os.O_CLOEXEC, 0o600))
                actions.append((os.POSIX_SPAWN_DUP2, handles[-1], stream))
            argv = [b"bash", b"-c", script, b"bash"]
            if len(script) > _ARGUMENT_LIMIT:
                argv[2] = b". " + self._script_file(number, script)
            self._spawn(command, argv, actions)
        except OSError as error:
            self.send([b"err", number, error.errno or 5, os.fsencode(str(error.strerror))])
            return
        finally:
            for handle in handles:
                os.close(handle)
        self.background[number] = command
        self._watch(command)
        self.send([b"ok", number, command.pid])

    def _shell_arguments(self, number, script):  # type: ignore[no-untyped-def]
        if len(script) > _ARGUMENT_LIMIT:
            script = b". " + self._script_file(number, script)
        return [b"bash", b"-c", _WRAPPER, b"bash", script]

    def _script_file(self, number, script):  # type: ignore[no-untyped-def]
        path = SCRATCH + b"/script-%d" % number
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(path, flags, 0o600)
        try:
            view = memoryview(script)
            while view:
                view = view[os.write(handle, view) :]
        finally:
            os.close(handle)
        return path

    def _spawn(self, command, argv, actions):  # type: ignore[no-untyped-def]
        shell = self.shell
        try:
            os.chdir(shell.directory)
        except OSError:
            shell.directory = shell.workspace
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

    def _watch(self, command):  # type: ignore[no-untyped-def]
        self.running[command.pid] = command
        try:
            command.pidfd = landlock.pidfd_open(command.pid)
        except OSError:
            return  # no pidfd: the leader's wake-up on SIGCHLD finds it a little later
        self.loop.register(command.pidfd, "r", lambda: self._ended(command))

    # -- while it runs ---------------------------------------------------------------------

    def _readable(self, stream):  # type: ignore[no-untyped-def]
        try:
            data = os.read(stream.handle, _READ)
        except BlockingIOError:
            return False
        if not data:
            self.loop.unregister(stream.handle)
            os.close(stream.handle)
            stream.handle = -1
            return False
        stream.take(data, self.send)
        return True

    def _state_readable(self, command):  # type: ignore[no-untyped-def]
        try:
            data = os.read(command.state, _READ)
        except BlockingIOError:
            return False
        command.state_data += data
        if not data or len(command.state_data) > _STATE_LIMIT:
            os.close(command.state)
            command.state = -1
            return False
        return True

    def _stdin_writable(self, command):  # type: ignore[no-untyped-def]
        try:
            written = os.write(command.stdin, command.stdin_data[:_READ])
            command.stdin_data = command.stdin_data[written:]
        except BlockingIOError:
            return
        except OSError:
            command.stdin_data = b""
        if not command.stdin_data:
            self.loop.unregister(command.stdin)
            os.close(command.stdin)
            command.stdin = -1

    def next_deadline(self):  # type: ignore[no-untyped-def]
        """Monotonic time of the next thing to do, or None."""
        times = [c.deadline for c in self.running.values() if c.deadline is not None]
        if self.running:
            times.append(time.monotonic() + 0.5)  # look at the disk
        return min(times) if times else None

    def tick(self):  # type: ignore[no-untyped-def]
        """End what ran out of time, and everything when the disk is used up."""
        now = time.monotonic()
        foreground = [c for c in self.running.values() if not c.background]
        for command in foreground:
            while command.state >= 0 and self._state_readable(command):
                pass
            if command.deadline is not None and now >= command.deadline:
                command.deadline = None
                command.ending = b"timed out"
                self._end_tree(command)
        if self.running and self.disk.exceeded():
            for command in list(self.running.values()):
                command.ending = b"out of disk"
            self.kill_all()

    def cancel(self, number):  # type: ignore[no-untyped-def]
        """End a command or background process now, with all it started."""
        for command in self.running.values():
            if command.number == number:
                command.ending = b"cancelled"
                self._end_tree(command)
                return

    # -- the end ---------------------------------------------------------------------------

    def _others(self):  # type: ignore[no-untyped-def]
        """Ids of all processes but the guest, each with its parent and session."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit() and name != "1":
                try:
                    handle = os.open("/proc/" + name + "/stat", os.O_RDONLY | os.O_CLOEXEC)
                except OSError:
                    continue
                try:
                    fields = os.read(handle, 4096).rpartition(b")")[2].split()
                except OSError:
                    continue
                finally:
                    os.close(handle)
                if len(fields) > 4 and fields[0] != b"Z":
                    found.append((int(name), int(fields[1]), int(fields[3])))
        return found

    def _end_tree(self, command):  # type: ignore[no-untyped-def]
        """Kill all that is not plainly part of another background process; gives the number.

        Double forks and new sessions leave no trace of who started them, so the question is
        turned round: what stays is what hangs on a background process that should live.
        """
        keep = {c.pid for c in self.background.values() if c.status is None and c is not command}
        keep.discard(0)
        if not keep:
            return self.kill_all()
        killed = set()
        until = time.monotonic() + _KILL_PATIENCE_S
        while time.monotonic() < until:
            try:
                os.kill(-1, _SIGSTOP)  # so that nothing can fork while we choose
            except OSError:
                break
            doomed = self._unattached(keep)
            if not doomed:
                break
            for pid in doomed:
                self._kill(pid)
            killed.update(doomed)
            self.reap()
            time.sleep(0.001)
        try:
            os.kill(-1, _SIGCONT)
        except OSError:
            pass
        self.reap()
        return len(killed)

    def _unattached(self, keep):  # type: ignore[no-untyped-def]
        """Processes that descend from none of `keep`, nor share a session with one."""
        others = self._others()
        parents = {pid: parent for pid, parent, _ in others}
        found = []
        for pid, _, session in others:
            at = pid
            while at in parents and at not in keep:
                at = parents[at]
            if at not in keep and session not in keep:
                found.append(pid)
        return found

    def _kill(self, pid, signal=_SIGKILL):  # type: ignore[no-untyped-def]
        try:
            os.kill(pid, signal)
        except OSError:
            pass

    def kill_all(self):  # type: ignore[no-untyped-def]
        """Kill every process but the guest, in one call that no fork can outrun."""
        count = len(self._others())
        try:
            os.kill(-1, _SIGKILL)
        except OSError:
            return 0
        self._reap_dead(wait_s=_KILL_PATIENCE_S)
        return count

    def _reap_dead(self, wait_s):  # type: ignore[no-untyped-def]
        until = time.monotonic() + wait_s
        while self.reap() and time.monotonic() < until:
            time.sleep(0.001)

    def reap(self):  # type: ignore[no-untyped-def]
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

    def _ended(self, command):  # type: ignore[no-untyped-def]
        if command.status is None:
            self.reap()
        if command.status is not None:
            self.finish_ended()

    def finish_ended(self):  # type: ignore[no-untyped-def]
        """Report every command whose status has been taken."""
        for command in [c for c in self.running.values() if c.status is not None]:
            del self.running[command.pid]
            if command.pidfd >= 0:
                self.loop.unregister(command.pidfd)
                os.close(command.pidfd)
            if not command.background:
                self._finish(command)

    def _finish(self, command):  # type: ignore[no-untyped-def]
        # Anything that still lives now was left behind, and may hold the pipes open.
        leftovers = self._end_tree(command) if self.reap() else 0
        for stream in (command.out, command.err):
            while stream.handle >= 0 and self._readable(stream):
                pass
            if stream.handle >= 0:
                self.loop.unregister(stream.handle)
        while command.state >= 0 and self._state_readable(command):
            pass
        if command.state >= 0:
            os.close(command.state)
        if command.stdin >= 0:
            self.loop.unregister(command.stdin)
            os.close(command.stdin)
        if command.ending == b"exited":
            self.shell.update(command.state_data)
        code = _exit_code(command.status)
        if code == 137 and command.ending == b"exited":
            kills = self._oom_kills()
            if kills != self.oom_seen:
                self.oom_seen = kills
                command.ending = b"out of memory"
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
            ]
        )

    def poll(self, number):  # type: ignore[no-untyped-def]
        """State of a background process: exit code or None."""
        self.reap()
        self.finish_ended()
        command = self.background.get(number)
        if command is None:
            raise ProcessLookupError(3, "no such background process")
        return None if command.status is None else _exit_code(command.status)

    def _oom_kills(self):  # type: ignore[no-untyped-def]
        if self.oom_counter < 0:
            return 0
        try:
            text = os.pread(self.oom_counter, 4096, 0)
        except OSError:
            return 0
        for line in text.splitlines():
            key, _, value = line.partition(b" ")
            if key == b"oom_kill":
                return int(value)
        return 0


def _exit_code(status):  # type: ignore[no-untyped-def]
    if os.WIFSIGNALED(status):
        return 128 + os.WTERMSIG(status)
    return os.WEXITSTATUS(status)

