"""How a process is started: its arguments, its ends of the pipes, the directory it begins in.

By posix_spawn (vfork underneath): a fork of the guest would cost more than the command. In the
restricted thread, so that what it starts inherits the policy. Knows no process that runs already.
"""

from __future__ import annotations

import os

from sandbox.guest import files
from sandbox.guest.pipes import RunningCommand, Stream, create
from sandbox.guest.protocol import SCRATCH, background_output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sandbox.guest.loop import GuestConfig
    from sandbox.guest.protocol import RunCommand
    from sandbox.guest.shellstate import ShellState

_STATE_FD = 200
_SCRIPT_KEPT = 4000
_ARGUMENT_LIMIT = 100_000
"""The kernel takes 128 KiB in one argument; a longer script goes through a file."""
# What Python ignores, and what a shell must not inherit ignored: SIGPIPE, SIGXFSZ.
_DEFAULT_SIGNALS = (13, 25)

_WRAPPER = (
    b'trap \'{ printf "%s\\0" "$PWD"; umask; dirs -l -p; printf "\\0"; export -p; } '
    b"2>&- >&200' EXIT; "
    b'__moonpool=$1; shift; eval "unset __moonpool; $__moonpool"'
)
_PUSHED = b'pushd -n "${%d}" >/dev/null; '
_NO_MORE = b'set -- "$1"; '


class NoDirectory(OSError):
    """The directory that a command is to start in can't be entered."""


class Spawner:
    """Starts commands in one shell's state."""

    def __init__(
        self, config: GuestConfig, shell: ShellState, make_room: Callable[[], bool]
    ) -> None:
        """`make_room`: ends what may go on without its command; False where there is nothing."""
        self._make_room = make_room
        self._shell = shell
        self._keep_bytes = config.keep_bytes
        self._oom_adjust = config.oom_adjust
        self._null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)

    def foreground(self, number: int, wanted: RunCommand) -> RunningCommand:
        """Start a command with pipes to its outputs. Raises `OSError`."""
        command = RunningCommand(number)
        pipes = [os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)]
        ends = [pipes[0][1], pipes[1][1]]
        actions: list[Any] = []
        if wanted.stdin is not None:
            read_end, command.stdin = os.pipe2(os.O_CLOEXEC)
            ends.append(read_end)
            command.stdin_data = wanted.stdin
            actions.append((os.POSIX_SPAWN_DUP2, read_end, 0))
        elif wanted.stdin_file is None:
            actions.append((os.POSIX_SPAWN_DUP2, self._null, 0))
        actions.append((os.POSIX_SPAWN_DUP2, pipes[0][1], 1))
        actions.append((os.POSIX_SPAWN_DUP2, pipes[1][1], 2))
        if wanted.program is None:
            command.state, state_end = os.pipe2(os.O_CLOEXEC)
            ends.append(state_end)
            actions.append((os.POSIX_SPAWN_DUP2, state_end, _STATE_FD))
        command.out = Stream(number, 1, pipes[0][0], self._keep_bytes)
        command.err = Stream(number, 2, pipes[1][0], self._keep_bytes)
        try:
            if wanted.stdin is None and wanted.stdin_file is not None:
                # Opened here, not by the spawn, which would stand still before a named pipe.
                ends.append(files.open_regular(wanted.stdin_file, os.O_RDONLY)[0])
                os.unlink(wanted.stdin_file)
                actions.append((os.POSIX_SPAWN_DUP2, ends[-1], 0))
            own: dict[bytes, bytes] = {}
            if wanted.program is not None:
                argv = wanted.program.argv
                own = {variable.name: variable.value for variable in wanted.program.variables}
                command.keeps = wanted.program.keeps
                self._enter(wanted.program.directory)
            else:
                script = wanted.script or b""
                command.script = script[:_SCRIPT_KEPT]
                script = self._as_argument(number, script)
                # The last one pushed stands first, and the script is to see no arguments.
                stack = self._shell.stack[::-1]
                wrapper = _WRAPPER
                if stack:
                    pushed = [_PUSHED % at for at in range(2, len(stack) + 2)]
                    wrapper = b"".join((*pushed, _NO_MORE, _WRAPPER))
                argv = [b"bash", b"-c", wrapper, b"bash", script, *stack]
                self._enter(None)
            self._spawn(command, argv, actions, own)
        except OSError:
            for handle in (pipes[0][0], pipes[1][0], command.state, command.stdin):
                if handle >= 0:
                    os.close(handle)
            raise
        finally:
            for handle in ends:
                os.close(handle)
        return command

    def background(self, number: int, script: bytes) -> RunningCommand:
        """Start a process whose output goes to two files. Raises `OSError`."""
        command = RunningCommand(number)
        command.background = True
        command.script = script[:_SCRIPT_KEPT]
        actions: list[Any] = [(os.POSIX_SPAWN_DUP2, self._null, 0)]
        handles = []
        try:
            for stream in (1, 2):
                handles.append(create(background_output(number, stream), os.O_APPEND))
                actions.append((os.POSIX_SPAWN_DUP2, handles[-1], stream))
            argv = [b"bash", b"-c", self._as_argument(number, script), b"bash"]
            self._enter(None)
            self._spawn(command, argv, actions, {})
        finally:
            for handle in handles:
                os.close(handle)
        return command

    def _as_argument(self, number: int, script: bytes) -> bytes:
        """The script, or where it is too long for an argument, one that reads it from a file."""
        if len(script) <= _ARGUMENT_LIMIT:
            return script
        path = SCRATCH + b"/script-%d" % number
        handle = create(path)
        try:
            view = memoryview(script)
            while view:
                view = view[os.write(handle, view) :]
        finally:
            os.close(handle)
        return b". " + path

    def _enter(self, directory: bytes | None) -> None:
        """Go to where a command starts: a process inherits that."""
        shell = self._shell
        if directory is not None:
            try:
                os.chdir(os.path.join(shell.workspace, directory))
            except OSError as error:
                reason = "the working directory: " + str(error.strerror)
                raise NoDirectory(error.errno, reason) from None
            return
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

    def _spawn(
        self,
        command: RunningCommand,
        argv: list[bytes],
        actions: list[Any],
        own: dict[bytes, bytes],
    ) -> None:
        shell = self._shell
        program = b"/bin/bash" if argv[0] == b"bash" else shell.find(argv[0])
        # A process inherits this: under memory pressure the kernel then ends commands, not us.
        # It needs no privilege to go back to what the container started with.
        if self._oom_adjust >= 0:
            os.pwrite(self._oom_adjust, b"800", 0)
        umask = os.umask(shell.umask)
        try:
            while not command.pid:
                try:
                    command.pid = os.posix_spawn(
                        program,
                        argv,
                        {**shell.environment, **own} if own else shell.environment,
                        file_actions=actions,
                        setsid=True,
                        setsigmask=(),
                        setsigdef=_DEFAULT_SIGNALS,
                    )
                except BlockingIOError:  # no further process may be
                    if not self._make_room():
                        raise
        finally:
            os.umask(umask)
            if self._oom_adjust >= 0:
                os.pwrite(self._oom_adjust, b"0", 0)
