"""The SDK's own client in both revisions that there are, against a process and against a thread."""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp.client.context import ClientRequestContext
from mcp.client.session import ElicitationFnT
from mcp.types import CallToolResult, ElicitRequestParams, ElicitResult, TextContent

from agent.servers.mcp.stdio import StdioTransport
from fakes.mcp_client import served, settings_for

SERVER = Path(__file__).parents[3] / "fakes" / "mcp_server.py"
REVISIONS = {"legacy": "2025-11-25", "2026-07-28": "2026-07-28", "auto": "2026-07-28"}


def _words(root: Path, home: Path, **values: object) -> list[str]:
    given = [f"{name}={json.dumps(value)}" for name, value in values.items()]
    return ["-P", str(SERVER), str(root), str(home), *given]


async def _ask(client: Client, name: str, **arguments: object) -> CallToolResult:
    result = await client.call_tool(name, arguments)
    assert isinstance(result, CallToolResult)
    return result


async def _get(client: Client, name: str, **arguments: object) -> Any:
    result = await _ask(client, name, **arguments)
    assert not result.is_error, result
    return result.structured_content


def _text(result: CallToolResult) -> str:
    return "".join(block.text for block in result.content if isinstance(block, TextContent))


def _client(
    root: Path, home: Path, mode: str, answer: ElicitationFnT | None = None, **values: object
) -> Client:
    server = StdioServerParameters(command=sys.executable, args=_words(root, home, **values))
    return Client(server, mode=mode, elicitation_callback=answer)


@asynccontextmanager
async def _beside(
    root: Path, home: Path, mode: str, answer: ElicitationFnT | None = None, **values: object
) -> AsyncGenerator[Client]:
    """One whose server is a thread of this process: another takes a second to load the SDK."""
    with served(settings_for(root, home, **values)) as pipes:
        transport = StdioTransport(pipes.from_server, pipes.to_server)
        async with Client(transport.streams(), mode=mode, elicitation_callback=answer) as client:
            yield client


@pytest.mark.parametrize("mode", REVISIONS)
def test_a_client_of_either_revision_works_to_the_end(mode: str, root: Path, home: Path) -> None:
    async def work() -> None:
        async with _client(root, home, mode) as client:
            assert client.protocol_version == REVISIONS[mode]
            if mode != "2026-07-28":  # a client that asks nothing first is told nothing
                assert "Always `close`" in (client.instructions or "")
            # The SDK checks what a tool gives by the schema that the list of tools has.
            await client.list_tools()
            box = (await _get(client, "open", workspace="repo"))["sandbox"]
            await _get(client, "write_file", sandbox=box, path="b.txt", content="new\n")
            ran = await _get(client, "run", sandbox=box, command="cat b.txt a.txt")
            assert ran["output"].startswith("new\none\n")
            started = await _get(client, "background_start", sandbox=box, command="sleep 600")
            read = await _get(client, "background_read", sandbox=box, process=started["process"])
            assert read["running"]
            await _get(client, "background_stop", sandbox=box, process=started["process"])
            assert "+new" in (await _get(client, "diff", sandbox=box))["patch"]
            checked = await _get(client, "verify", sandbox=box, command="grep new b.txt")
            assert checked["verified"]
            await _get(client, "export", sandbox=box)
            assert len((await _get(client, "apply", sandbox=box))["files"]) == 1
            assert (root / "repo" / "b.txt").read_text() == "new\n"
            refused = await _ask(client, "run", sandbox=box, command="curl example.org")
            assert refused.is_error
            assert "Denied (no match): curl" in _text(refused)
            closed = await _get(client, "close", sandbox=box)
            assert closed["outcome"] == "finished"

    anyio.run(work)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_call_that_the_client_gives_up_is_over_in_the_sandbox(
    mode: str, root: Path, home: Path
) -> None:
    async def work() -> None:
        async with _client(root, home, mode) as client:
            box = (await _get(client, "open", workspace="repo"))["sandbox"]
            with anyio.move_on_after(0.5):
                await _ask(client, "run", sandbox=box, command="sleep 600")
            # The one after it would wait for it.
            assert (await _get(client, "run", sandbox=box, command="true"))["exit_code"] == 0

    anyio.run(work)


# -- what the policy asks about ------------------------------------------------------------


class Person:
    """Answers questions, and remembers them."""

    def __init__(self, *, approve: bool | None, action: str = "accept") -> None:
        """Args:
        approve: None: never answers.
        """
        self.approve = approve
        self.action = action
        self.asked: list[str] = []

    async def __call__(
        self, context: ClientRequestContext, params: ElicitRequestParams
    ) -> ElicitResult:
        self.asked.append(params.message)
        if self.approve is None:
            await anyio.sleep_forever()
        if self.action != "accept":
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content={"approve": bool(self.approve)})


def _asking(tmp_path: Path) -> dict[str, str]:
    policy = tmp_path / "asking.yaml"
    policy.write_text(
        "version: 1\nname: asking\nextends: default\ncommands: [{program: touch, ask: true}]\n"
    )
    return {"asking": str(policy)}


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_person_approves_the_exact_command(
    mode: str, root: Path, home: Path, tmp_path: Path
) -> None:
    person = Person(approve=True)

    async def work() -> None:
        async with _beside(root, home, mode, person, policies=_asking(tmp_path)) as client:
            box = (await _get(client, "open", workspace="repo"))["sandbox"]
            await _get(client, "run", sandbox=box, command="echo no question")
            assert person.asked == []
            await _get(client, "run", sandbox=box, command="touch first")
            await _get(client, "run", sandbox=box, command="touch second  # \u202ereversed")
            await _get(client, "background_start", sandbox=box, command="touch third")
            # Approved once is not approved for ever.
            await _get(client, "run", sandbox=box, command="touch first")

    anyio.run(work)
    assert len(person.asked) == 4
    assert "│ $ touch first\n" in person.asked[0] or "touch first" in person.asked[0]
    assert "touch second" in person.asked[1]
    assert "\u202e" not in person.asked[1]
    assert "touch third" in person.asked[2]
    assert "background: True" in person.asked[2]


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
@pytest.mark.parametrize(
    "person",
    [Person(approve=False), Person(approve=True, action="decline")],
    ids=["no", "declined"],
)
def test_a_person_who_says_no_is_obeyed(
    mode: str, person: Person, root: Path, home: Path, tmp_path: Path
) -> None:
    async def work() -> None:
        async with _beside(root, home, mode, person, policies=_asking(tmp_path)) as client:
            box = (await _get(client, "open", workspace="repo"))["sandbox"]
            refused = await _ask(client, "run", sandbox=box, command="touch made")
            assert refused.is_error
            assert "the person said no" in _text(refused)
            assert "made" not in (await _get(client, "list_dir", sandbox=box))["output"]

    anyio.run(work)


def test_a_person_who_does_not_answer_says_no(root: Path, home: Path, tmp_path: Path) -> None:
    person = Person(approve=None)

    async def work() -> None:
        async with _beside(
            root, home, "legacy", person, policies=_asking(tmp_path), answer_s=0.3
        ) as client:
            box = (await _get(client, "open", workspace="repo"))["sandbox"]
            refused = await _ask(client, "run", sandbox=box, command="touch made")
            assert "nobody approved it in time" in _text(refused)
            assert "made" not in (await _get(client, "list_dir", sandbox=box))["output"]

    anyio.run(work)
    assert len(person.asked) == 1


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
def test_a_client_that_can_t_ask_is_refused(
    mode: str, root: Path, home: Path, tmp_path: Path
) -> None:
    async def work() -> None:
        async with _beside(root, home, mode, policies=_asking(tmp_path)) as client:
            box = (await _get(client, "open", workspace="repo"))["sandbox"]
            refused = await _ask(client, "run", sandbox=box, command="touch made")
            assert "Not run" in _text(refused)
            assert "nobody was asked" in _text(refused)

    anyio.run(work)


# -- the process ---------------------------------------------------------------------------


def _started(root: Path, home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *_words(root, home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _talk(server: subprocess.Popen[bytes], *calls: tuple[str, dict[str, object]]) -> Any:
    """Make calls, one after the other; gives what the last one gave."""
    assert server.stdin is not None
    assert server.stdout is not None
    given: Any = None
    for name, arguments in calls:
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        box = {} if given is None else {"sandbox": given["sandbox"]}
        params = {"name": name, "arguments": {**box, **arguments}, "_meta": meta}
        frame = {"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": params}
        server.stdin.write(json.dumps(frame).encode() + b"\n")
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())["result"]["structuredContent"]
        given = {**(given or {}), **answer}
    return given


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "code"),
    [
        (lambda server: server.send_signal(signal.SIGTERM), 130),
        (lambda server: server.send_signal(signal.SIGHUP), 130),
        (lambda server: server.stdin.close(), 0),
        (lambda server: server.stdout.close(), 0),
    ],
    ids=["SIGTERM", "SIGHUP", "end of input", "broken pipe"],
)
def test_however_the_process_is_ended_the_work_is_exported(
    end: Callable[[Any], None],
    code: int,
    root: Path,
    home: Path,
    summaries: Callable[[], list[dict[str, Any]]],
) -> None:
    with _started(root, home) as server:
        _talk(server, ("open", {"workspace": "repo"}), ("run", {"command": "echo two > a.txt"}))
        assert server.stdin is not None
        end(server)
        if server.stdout is not None and server.stdout.closed:
            # What is said next finds nobody.
            server.stdin.write(b"nonsense\n")
            server.stdin.flush()
        assert server.wait(60) == code
    [summary] = summaries()
    assert summary["detail"] in {"by SIGTERM", "by SIGHUP", "by its client, which left"}
    assert ("SIG" in summary["detail"]) is (code == 130)
    assert [change["path"] for change in summary["changes"]] == ["a.txt"]


def test_standard_output_carries_frames_alone(root: Path, home: Path) -> None:
    with _started(root, home) as server:
        _talk(server, ("open", {"workspace": "repo"}), ("close", {}))
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        server.stdin.close()
        assert server.stdout.read() == b""
        errors = server.stderr.read()
    # What the sandbox printed as it was opened.
    for words in (b"this is no frame", b"nor is this", b"nor this"):
        assert words in errors
    assert b"Traceback" not in errors


@pytest.mark.slow
def test_two_clients_have_two_servers(root: Path, home: Path) -> None:
    with _started(root, home) as one, _started(root, home) as two:
        mine = _talk(one, ("open", {"workspace": "repo"}))["sandbox"]
        _talk(two, ("open", {"workspace": "repo"}), ("run", {"command": "echo two > a.txt"}))
        assert two.stdin is not None
        assert two.stdout is not None
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        arguments = {"sandbox": mine, "command": "true"}
        params = {"name": "run", "arguments": arguments, "_meta": meta}
        frame = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        two.stdin.write(json.dumps(frame).encode() + b"\n")
        two.stdin.flush()
        assert select.select([two.stdout], [], [], 60)[0]
        result = json.loads(two.stdout.readline())["result"]
        assert result["isError"]
        assert "there is no sandbox" in result["content"][0]["text"]
        for server in (one, two):
            assert server.stdin is not None
            server.stdin.close()
            assert server.wait(60) == 0
    runs = sorted(os.listdir(home / "runs"))
    assert len(runs) == 2
