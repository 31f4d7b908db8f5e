"""Commands and background processes of a sandbox, as the host asks for them."""

import threading
import time
from collections.abc import Mapping, Sequence

from policies.file import scalars
from sandbox.container.output import OnOutput, Receiver
from sandbox.container.session import Session, SessionFiles, path_bytes, text_bytes
from sandbox.errors import FileError, SandboxLost
from sandbox.guest import protocol
from sandbox.guest.wire import PIECE
from sandbox.link import GuestLink
from sandbox.results import BackgroundStatus, CommandResult, Leftovers, Output

_GRACE_S = 15.0
"""How long after a command's own time limit the guest may take to say so."""
_CANCEL_S = 5.0
"""How long a guest may take to end a command that the operator wants ended."""


def _variables(env: Mapping[str, str]) -> list[protocol.Variable]:
    """Variables of one command, judged as a policy's are. Raises `FileError`."""
    found: list[protocol.Variable] = []
    for name, value in env.items():
        try:
            known, text = scalars.env_name(name), scalars.env_value(value)
        except ValueError as error:
            raise FileError(f"the variable {name!r:.80} {error}") from None
        found.append(protocol.Variable(name=known.encode(), value=text_bytes(text)))
    return found


class SessionCommands(SessionFiles):
    """Runs things in one session: shell text one at a time in the foreground, programs from as many
    threads at once as ask.

    Long input goes in as a file, and output of the background is read from one.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._cancelled = threading.Event()
        self._counting = threading.Lock()
        self._running = 0
        """Commands in the foreground."""

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
            on_output: gets output as it comes, as far as its beginning is kept; when the
                command has ended, on a line of its own, the last of what was more.

        Raises:
            SandboxLost: the container is gone and does not come back.
        """
        return self._run(
            timeout_s, stdin, self._cancelled, on_output=on_output, script=text_bytes(command)
        )

    def run_program(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float | None = None,
        stdin: bytes | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        leftovers: Leftovers = Leftovers.END,
        cancel: threading.Event | None = None,
    ) -> CommandResult:
        """Run one program without a shell; several may run at once, each from a thread of its own.

        Args:
            timeout_s: as for `run`.
            cwd: where it starts: relative to the workspace, or absolute in the container; None:
                where the last `run` ended.
            env: variables of this program alone; names and values as a policy's ``env`` takes them.
            cancel: ends this program when it is set, as `cancel` ends all.

        Raises:
            FileError: it does not exist, or the kernel refuses it under the policy; no such `cwd`;
                an `env` that no policy may set.
            SandboxLost: as for `run`.
        """
        if not argv:
            raise FileError("no program is named")
        return self._run(
            timeout_s,
            stdin,
            cancel or self._cancelled,
            program=protocol.ProgramRun(
                argv=[text_bytes(word) for word in argv],
                directory=None if cwd is None else path_bytes(cwd),
                variables=_variables(env or {}),
                keeps=leftovers is Leftovers.KEEP,
            ),
        )

    def cancel(self) -> None:
        """End what runs now, or where nothing does, the next command; callable from a signal
        handler or another thread."""
        self._cancelled.set()

    def is_gone(self) -> bool:
        """Whether the container was removed."""
        return self._session.is_gone()

    def forget_cancel(self) -> None:
        """Have a `cancel` that came too late for its command end no other."""
        self._cancelled.clear()

    def _run(
        self,
        timeout_s: float | None,
        stdin: bytes | None,
        cancel: threading.Event,
        *,
        on_output: OnOutput | None = None,
        script: bytes | None = None,
        program: protocol.ProgramRun | None = None,
    ) -> CommandResult:
        limits = self._session.plan.policy.limits
        limit_s = limits.command_timeout_s
        timeout_s = limit_s if timeout_s is None else max(0.001, min(timeout_s, limit_s))
        with self._counting:
            if not self._running and self._session.disk_low.is_set():
                self._session.disk_low.clear()
            self._running += 1
        began = time.monotonic()
        receiver = Receiver(limits.output_bytes, on_output)
        link = self._session.link
        number = link.request()
        try:
            stored = stdin is not None and len(stdin) > PIECE
            request = protocol.RunCommand(
                script=script,
                program=program,
                timeout_ms=int(timeout_s * 1000) + 1,
                stdin=None if stored else stdin,
                stdin_file=self._stored(number, stdin or b"") if stored else None,
            )
            link.send(request, number=number)
            until = began + timeout_s + _GRACE_S
            end = self._await_end(link, request, number, receiver, until=until, cancel=cancel)
        except SandboxLost as lost:
            # The link may have been lost before this command, which then never ran.
            self._session.revive(lost, link)
            return receiver.lost(time.monotonic() - began, str(lost))
        finally:
            link.end(number)
            with self._counting:
                self._running -= 1
                if not self._running and self._cancelled.is_set():
                    # Not at the start: it may have come a moment before.
                    self._cancelled.clear()
        return receiver.result(end, time.monotonic() - began)

    def _stored(self, number: int, stdin: bytes) -> bytes:
        """The file that holds a command's standard input, where it does not go with the request."""
        path = protocol.SCRATCH + b"/stdin-%d" % number
        self.write_file(path.decode(), stdin)
        return path

    def _await_end(
        self,
        link: GuestLink,
        wanted: protocol.RunCommand,
        number: int,
        receiver: Receiver,
        *,
        until: float,
        cancel: threading.Event,
    ) -> protocol.CommandEnd:
        asked = False

        def on_tick() -> None:
            nonlocal asked, until
            low = self._session.disk_low.is_set()
            if cancel.is_set() or self._cancelled.is_set() or low:
                if not asked:
                    asked = True
                    receiver.disk_low = low
                    link.send(protocol.EndProcess(process=number))
                    until = min(until, time.monotonic() + _CANCEL_S)
                elif time.monotonic() > until:
                    raise SandboxLost("the guest does not end the command")

        while True:
            answer = link.answer_to(number, until=until, on_tick=on_tick)
            match answer:
                case protocol.Printed(stream=stream, data=data):
                    if not receiver.take(stream, data):
                        raise SandboxLost("the guest sent more output than it may")
                case protocol.CommandEnd():
                    return answer
                case _:
                    raise link.refused(answer, wanted)

    def start(self, command: str) -> int:
        """Start shell text in the background; gives an id for `poll` and `stop`."""
        link = self._session.link
        wanted = protocol.StartProcess(script=text_bytes(command))
        number = link.request()
        try:
            link.send(wanted, number=number)
            answer = link.answer_to(number, until=time.monotonic() + _GRACE_S)
        finally:
            link.end(number)
        if isinstance(answer, protocol.Done):
            return number
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
        last = min(keep // 2, PIECE)
        size = self._piece(path, 0, 0).size
        head = self.read_file(path, limit=keep - last)
        start = max(len(head), size - last)
        tail = self._piece(path, start, last).data if size > len(head) else b""
        return Output(
            head=head, tail=tail, total_bytes=max(size, len(head)), spill=path, spilled_bytes=size
        )
