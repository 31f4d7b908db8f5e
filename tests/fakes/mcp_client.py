"""A client of ``moonpool mcp`` that writes frames, and a server without an engine to write them to.

The client says exactly what a test wants it to say, hostile things among them. The server runs in a
thread of the test's process, on pipes; what it opens is a `TmpBox` with the files of the workspace.
"""

import json
import os
import select
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import anyio

from agent.lifecycle.job import Job, OnProgress
from agent.servers.mcp.serving import serve
from agent.servers.mcp.settings import McpSettings
from agent.servers.mcp.stdio import StdioTransport
from fakes.box import TmpBox

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
_PATIENCE_S = 60.0

Frame = dict[str, Any]


def box_of(job: Job, _on_progress: OnProgress) -> TmpBox:
    """A box with the files of a workspace."""
    root = Path(str(job.workspace))
    files = {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    return TmpBox(files=files)


def settings_for(root: Path, home: Path, **values: Any) -> McpSettings:
    """Settings of a server without an engine; `values` in place of the usual ones."""
    usual = McpSettings(
        roots=(root.resolve(),),
        policies={"default": "default"},
        ceiling=None,
        may_apply=False,
        verify=None,
        home=home,
        known_secrets=(),
        kernel_policy="require",
        environ=os.environ,
        open_box=box_of,
    )
    return replace(usual, **values)


class FrameClient:
    """One client, on the two descriptors that lead to a server."""

    def __init__(self, to_server: int, from_server: int, *, asks: bool = False) -> None:
        """Args:
        asks: the client says that it can put questions to its person.
        """
        self.to_server = to_server
        self.from_server = from_server
        self._unread = b""
        self._frames: list[Frame] = []
        self._next = 0
        self.modern = True
        self.progress_token: str | None = None
        self.capabilities: Frame = {"elicitation": {"form": {}}} if asks else {}

    # -- frames ----------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.to_server, view) :]

    def flood(self, data: bytes, *, quiet_s: float) -> int:
        """Write it again and again until nothing was taken for so long; gives the bytes taken."""
        os.set_blocking(self.to_server, False)
        taken = 0
        while select.select([], [self.to_server], [], quiet_s)[1]:
            taken += os.write(self.to_server, data)
        return taken

    def send(self, frame: object) -> None:
        self.write(json.dumps(frame).encode() + b"\n")

    def request(self, method: str, params: Mapping[str, object] | None = None, **more: Any) -> Any:
        """Send one without waiting; gives its id."""
        self._next += 1
        number = more.get("id", self._next)
        whole: Frame = dict(params or {})
        if self.modern:
            whole["_meta"] = {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": self.capabilities,
                "io.modelcontextprotocol/clientInfo": {"name": "frames", "version": "1"},
            }
        if self.progress_token is not None:
            whole.setdefault("_meta", {})["progressToken"] = self.progress_token
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": whole})
        return number

    def notify(self, method: str, params: Mapping[str, object]) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def frame(self) -> Frame:
        """The next one. Raises EOFError where the server has closed."""
        if self._frames:
            return self._frames.pop(0)
        return self._read()

    def answer(self, number: object) -> Frame:
        """The answer to a request; what comes before it is kept for `frame`."""
        for index, frame in enumerate(self._frames):
            if frame.get("id") == number and "method" not in frame:
                return self._frames.pop(index)
        passed: list[Frame] = []
        while True:
            frame = self._read()
            if frame.get("id") == number and "method" not in frame:
                self._frames += passed
                return frame
            passed.append(frame)

    def _read(self) -> Frame:
        until = time.monotonic() + _PATIENCE_S
        while b"\n" not in self._unread:
            left_s = until - time.monotonic()
            if left_s <= 0 or not select.select([self.from_server], [], [], left_s)[0]:
                raise TimeoutError("the server says nothing")
            data = os.read(self.from_server, 1 << 16)
            if not data:
                raise EOFError(self._unread)
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        frame = json.loads(line)
        assert isinstance(frame, dict)
        assert frame["jsonrpc"] == "2.0"
        return frame

    # -- the protocol ----------------------------------------------------------------------

    def shake_hands(self) -> Frame:
        """Begin as a client of the older revision does."""
        self.modern = False
        params = {
            "protocolVersion": LEGACY,
            "capabilities": self.capabilities,
            "clientInfo": {"name": "frames", "version": "1"},
        }
        answer = self.answer(self.request("initialize", params))
        self.notify("notifications/initialized", {})
        return answer

    def begin(self, name: str, /, **arguments: object) -> Any:
        """Call a tool without waiting for its answer; gives the request's id."""
        return self.request("tools/call", {"name": name, "arguments": arguments})

    def call(self, name: str, /, **arguments: object) -> Frame:
        """The result of a tool, which may be an error of it."""
        result = self.answer(self.begin(name, **arguments))["result"]
        assert isinstance(result, dict)
        return result

    def done(self, name: str, /, **arguments: object) -> Frame:
        """What a tool gave, by its schema; it has to give something."""
        result = self.call(name, **arguments)
        assert not result["isError"], result
        structured = result["structuredContent"]
        assert isinstance(structured, dict)
        return structured

    def refused(self, name: str, /, **arguments: object) -> str:
        """Why a tool refused; it has to."""
        result = self.call(name, **arguments)
        assert result["isError"], result
        return text_of(result)

    def opened(self, **arguments: object) -> str:
        """The handle of a new sandbox."""
        handle = self.done("open", **arguments)["sandbox"]
        assert isinstance(handle, str)
        return handle

    def hang_up(self) -> None:
        """Close the side on which the client speaks."""
        if self.to_server >= 0:
            os.close(self.to_server)
            self.to_server = -1

    def stop_listening(self) -> None:
        if self.from_server >= 0:
            os.close(self.from_server)
            self.from_server = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self.stop_listening()


def text_of(result: Frame) -> str:
    return "\n".join(block["text"] for block in result["content"] if block["type"] == "text")


class ServedClient(FrameClient):
    """A client whose server is a thread of this process."""

    def __init__(self, settings: McpSettings, *, asks: bool = False) -> None:
        source, to_server = os.pipe()
        from_server, sink = os.pipe()
        super().__init__(to_server, from_server, asks=asks)
        self._ends = (source, sink)
        self.heard: list[str] = []
        self.transport = StdioTransport(source, sink)
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, args=(settings,))
        self._thread.start()

    def _serve(self, settings: McpSettings) -> None:
        try:
            anyio.run(serve, settings, self.transport, self.heard)
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            self._failure = error
        finally:
            for descriptor in self._ends:
                os.close(descriptor)

    def signal(self, name: str) -> None:
        """What the handler of a signal does."""
        self.heard.append(name)
        self.transport.end_input()

    def wait(self) -> None:
        """Until the server is over, every sandbox of it closed."""
        self._thread.join(_PATIENCE_S)
        assert not self._thread.is_alive(), "the server goes on"
        if self._failure is not None:
            raise self._failure


@contextmanager
def served(settings: McpSettings, *, asks: bool = False) -> Iterator[ServedClient]:
    """A client of a server in a thread; at the end the client leaves, and the server is over."""
    with ServedClient(settings, asks=asks) as client:
        try:
            yield client
        finally:
            client.hang_up()
            client.wait()
