"""Commands and background processes of a sandbox, as the host asks for them."""

import threading
import time
from collections.abc import Sequence

from sandbox.container.files import SessionFiles
from sandbox.container.output import OnOutput, Receiver
from sandbox.container.session import Session
from sandbox.errors import FileError, SandboxLost
from sandbox.guest.wire import PIECE
from sandbox.link.connection import Value, file_error
from sandbox.results import BackgroundStatus, CommandResult, Output

_GRACE_S = 15.0
"""How long after a command's own time limit the guest may take to say so."""
_CANCEL_S = 5.0
"""How long a guest may take to end a command that the operator wants ended."""
_SCRATCH = "/tmp/.moonpool"  # noqa: S108 - in the container


class SessionCommands:
    """Runs things in one session, one at a time in the foreground."""

    def __init__(self, session: Session, files: SessionFiles) -> None:
        self._session = session
        self._files = files
        self._cancelled = threading.Event()

    def run(
        self,
        command: str,
        *,
        timeout_s: float | None = None,
        stdin: bytes | None = None,
        on_output: OnOutput | None = None,
    ) -> CommandResult:
        """Run shell text in a fresh bash; directory and exported variables carry over.

        Args:
            timeout_s: at most the policy's ``command_timeout``, which is the default.
            on_output: gets output as it comes, up to half of the policy's output limit.

        Raises:
            SandboxLost: the container is gone and does not come back.
        """
        script = command.encode("utf-8", "surrogateescape")
        return self._run(None, script, timeout_s, stdin, on_output)

    def run_program(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        stdin: bytes | None = None,
    ) -> CommandResult:
        """Run one program without a shell.

        Raises:
            FileError: it does not exist, or the kernel refuses it under the policy.
            SandboxLost: as for `run`.
        """
        words = [word.encode("utf-8", "surrogateescape") for word in argv]
        return self._run(words, None, timeout_s, stdin, None)

    def cancel(self) -> None:
        """End the command that runs now, or else the next; callable from a signal handler or
        another thread."""
        self._cancelled.set()

    def forget_cancel(self) -> None:
        """What was to be ended is over; the next command is not meant."""
        self._cancelled.clear()

    def _run(
        self,
        argv: list[bytes] | None,
        script: bytes | None,
        timeout_s: float | None,
        stdin: bytes | None,
        on_output: OnOutput | None,
    ) -> CommandResult:
        limit_s = self._session.plan.policy.limits.command_timeout_s
        timeout_s = limit_s if timeout_s is None else max(0.001, min(timeout_s, limit_s))
        if b"\0" in (script or b"") or any(b"\0" in word for word in argv or ()):
            raise FileError("a command can't hold a NUL byte")
        self._session.disk_low.clear()
        began = time.monotonic()
        receiver = Receiver(self._session.plan.policy.limits.output_bytes, on_output)
        try:
            number, source = self._feed(stdin)
            words: Value = None if argv is None else list(argv)
            self._session.link.send(
                b"run", number, words, script, int(timeout_s * 1000) + 1, source
            )
            rest = self._await_end(number, receiver, began + timeout_s + _GRACE_S)
        except SandboxLost as lost:
            # The link may have been lost before this command, which then never ran.
            self._session.revive(lost)
            return receiver.lost(time.monotonic() - began, str(lost))
        finally:
            # Not at the start: it may have come a moment before.
            self._cancelled.clear()
        return receiver.result(rest, time.monotonic() - began)

    def _feed(self, stdin: bytes | None) -> tuple[int, Value]:
        """The number of a command, and its standard input as the guest wants it."""
        number = self._session.link.next_number()
        if stdin is None or len(stdin) <= PIECE:
            return number, stdin
        path = f"{_SCRATCH}/stdin-{number}"
        self._files.write(path, stdin, overwrite=True)
        return number, [path.encode()]

    def _await_end(self, number: int, receiver: "Receiver", until: float) -> list[Value]:
        asked = False

        def on_tick() -> None:
            nonlocal asked, until
            low = self._session.disk_low.is_set()
            if self._cancelled.is_set() or low:
                if not asked:
                    asked = True
                    receiver.disk_low = low
                    self._session.link.send(b"cancel", self._session.link.next_number(), number)
                    until = min(until, time.monotonic() + _CANCEL_S)
                elif time.monotonic() > until:
                    raise SandboxLost("the guest does not end the command")

        while True:
            kind, *rest = self._session.link.receive(until=until, on_tick=on_tick)
            on_tick()
            if not rest or rest[0] != number:
                continue
            match kind, rest[1:]:
                case b"out", [int() as stream, bytes() as data]:
                    if not receiver.take(stream, data):
                        raise SandboxLost("the guest sent more output than it may")
                case b"done", end:
                    return end
                case b"err", end:
                    raise file_error(end)
                case _:
                    raise SandboxLost("the guest's answer to a command is malformed")

    def start(self, command: str) -> int:
        """Start shell text in the background; gives an id for `poll` and `stop`."""
        number = self._session.link.next_number()
        script = command.encode("utf-8", "surrogateescape")
        self._session.link.send(b"start", number, script)
        while True:
            kind, *rest = self._session.link.receive(until=time.monotonic() + _GRACE_S)
            if rest and rest[0] == number:
                if kind == b"err":
                    raise file_error(rest[1:])
                return number

    def poll(self, background: int) -> BackgroundStatus:
        """Whether a background process still runs, and its output so far.

        Raises:
            FileMissing: there is none of that id.
        """
        answer = self._session.link.ask("poll", background)
        code = answer[0] if answer and isinstance(answer[0], int) else None
        keep = self._session.plan.policy.limits.output_bytes
        out, err = (self._background_output(background, stream, keep) for stream in (1, 2))
        return BackgroundStatus(id=background, exit_code=code, out=out, err=err)

    def stop(self, background: int) -> BackgroundStatus:
        """End a background process with all it started."""
        self._session.link.ask("cancel", background)
        return self.poll(background)

    def _background_output(self, background: int, stream: int, keep: int) -> Output:
        path = f"{_SCRATCH}/background-{background}-{stream}"
        head, size = self._files.read_piece(path, 0, keep // 2)
        start = max(len(head), size - keep // 2)
        tail = self._files.read_piece(path, start, keep // 2)[0] if size > len(head) else b""
        return Output(
            head=head, tail=tail, total_bytes=max(size, len(head)), spill=path, spilled_bytes=size
        )
