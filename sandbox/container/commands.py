"""Commands and background processes of a sandbox, as the host asks for them."""

import threading
import time
from collections.abc import Sequence

from sandbox.container.files import SessionFiles
from sandbox.container.output import OnOutput, Receiver
from sandbox.container.session import Session
from sandbox.errors import FileError, SandboxLost
from sandbox.guest import protocol
from sandbox.guest.wire import PIECE
from sandbox.link.connection import file_error
from sandbox.results import BackgroundStatus, CommandResult, Output

_GRACE_S = 15.0
"""How long after a command's own time limit the guest may take to say so."""
_CANCEL_S = 5.0
"""How long a guest may take to end a command that the operator wants ended."""


class SessionCommands(SessionFiles):
    """Runs things in one session, one at a time in the foreground.

    Long input goes in as a file, and output of the background is read from one.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
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
            on_output: gets output as it comes, up to half of the policy's output limit; when the
                command has ended, on a line of its own, the last of what was more.

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
        """End the command that runs now, or where none does, the next; callable from a signal
        handler or another thread."""
        self._cancelled.set()

    def forget_cancel(self) -> None:
        """Have a `cancel` that came too late for its command end no other."""
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
            number = self._session.link.next_number()
            wanted = protocol.RunCommand(
                argv=argv,
                script=script,
                timeout_ms=int(timeout_s * 1000) + 1,
                stdin=stdin if stdin is None or len(stdin) <= PIECE else None,
                stdin_file=self._stored(number, stdin),
            )
            self._session.link.send(wanted, number=number)
            end = self._await_end(wanted, number, receiver, began + timeout_s + _GRACE_S)
        except SandboxLost as lost:
            # The link may have been lost before this command, which then never ran.
            self._session.revive(lost)
            return receiver.lost(time.monotonic() - began, str(lost))
        finally:
            # Not at the start: it may have come a moment before.
            self._cancelled.clear()
        return receiver.result(end, time.monotonic() - began)

    def _stored(self, number: int, stdin: bytes | None) -> bytes | None:
        """The file that holds a command's standard input; None where it goes with the request."""
        if stdin is None or len(stdin) <= PIECE:
            return None
        path = protocol.SCRATCH + b"/stdin-%d" % number
        self.write_file(path.decode(), stdin)
        return path

    def _await_end(
        self, wanted: protocol.RunCommand, number: int, receiver: Receiver, until: float
    ) -> protocol.CommandEnd:
        asked = False

        def on_tick() -> None:
            nonlocal asked, until
            low = self._session.disk_low.is_set()
            if self._cancelled.is_set() or low:
                if not asked:
                    asked = True
                    receiver.disk_low = low
                    self._session.link.send(protocol.EndProcess(process=number))
                    until = min(until, time.monotonic() + _CANCEL_S)
                elif time.monotonic() > until:
                    raise SandboxLost("the guest does not end the command")

        while True:
            answered, answer = self._session.link.receive(until=until, on_tick=on_tick)
            on_tick()
            if answered != number:
                continue
            match answer:
                case protocol.Printed(stream=stream, data=data):
                    if not receiver.take(stream, data):
                        raise SandboxLost("the guest sent more output than it may")
                case protocol.CommandEnd():
                    return answer
                case protocol.RequestFailed():
                    raise file_error(answer)
                case _:
                    raise self._session.link.refused(answer, wanted)

    def start(self, command: str) -> int:
        """Start shell text in the background; gives an id for `poll` and `stop`."""
        link = self._session.link
        wanted = protocol.StartProcess(script=command.encode("utf-8", "surrogateescape"))
        number = link.send(wanted)
        until = time.monotonic() + _GRACE_S
        while True:
            answered, answer = link.receive(until=until)
            if answered != number:
                continue
            match answer:
                case protocol.Done():
                    return number
                case protocol.RequestFailed():
                    raise file_error(answer)
                case _:
                    raise link.refused(answer, wanted)

    def poll(self, background: int) -> BackgroundStatus:
        """Whether a background process still runs, and its output so far.

        Raises:
            FileMissing: there is none of that id.
        """
        state = self._session.link.ask(
            protocol.PollProcess(process=background), protocol.ProcessState
        )
        keep = self._session.plan.policy.limits.output_bytes
        out, err = (self._background_output(background, stream, keep) for stream in (1, 2))
        return BackgroundStatus(id=background, exit_code=state.exit_code, out=out, err=err)

    def stop(self, background: int) -> BackgroundStatus:
        """End a background process with all it started."""
        self._session.link.ask(protocol.EndProcess(process=background), protocol.Done)
        return self.poll(background)

    def _background_output(self, background: int, stream: int, keep: int) -> Output:
        path = protocol.background_output(background, stream).decode()
        half = keep // 2
        first = self._piece(path, 0, half)
        head, size = first.data, first.size
        start = max(len(head), size - half)
        tail = self._piece(path, start, half).data if size > len(head) else b""
        return Output(
            head=head, tail=tail, total_bytes=max(size, len(head)), spill=path, spilled_bytes=size
        )
