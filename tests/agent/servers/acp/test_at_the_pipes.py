"""``moonpool acp`` as an editor has it: a process of its own, and the SDK's client at its pipes."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from acp.client.connection import ClientSideConnection
from acp.exceptions import RequestError
from acp.schema import ImageContentBlock
from acp.stdio import spawn_agent_process

from command_line.running import DONE, SCRIPT, Shell, bash
from editors.desk import FakeEditor, ask, choosing
from fakes.model import saying
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_RUN
from standins.anthropic.server import StandIn
from standins.exchange.replies import Break, How, Thought, answer
from waiting import WAIT_S, until

SLOW = (bash("echo made > made.txt"), bash("sleep 600"))


def command(tmp_path: Path, *turns: dict[str, Any], options: tuple[str, ...] = ()) -> list[str]:
    model = saying(tmp_path / "script.yaml", *(turns or [DONE]))
    return [str(SCRIPT), "acp", "-m", model, *options]


@asynccontextmanager
async def opened(
    moonpool: Shell, words: list[str], editor: FakeEditor
) -> AsyncIterator[tuple[ClientSideConnection, Any]]:
    """An editor's client, and the process that it started in its own working directory."""
    async with spawn_agent_process(
        editor,  # type: ignore[arg-type]
        *words,
        env=moonpool.environ,
        cwd=moonpool.directory,
        use_unstable_protocol=True,
        transport_kwargs={"shutdown_timeout": float(WAIT_S)},
    ) as (client, process):
        await client.initialize(protocol_version=1)
        yield client, process


async def new(client: ClientSideConnection, directory: Path) -> str:
    session = await client.new_session(cwd=str(directory), mcp_servers=[])
    return session.session_id


async def sleeping(moonpool: Shell, session: str) -> None:
    """Wait until the second call has begun."""
    events = Path(moonpool.environ["MOONPOOL_HOME"]) / "runs" / session / "events.jsonl"

    def begun() -> bool:
        return events.exists() and events.read_text().count('"call_started"') > 1

    await asyncio.to_thread(until, begun)


def struck(moonpool: Shell, tmp_path: Path, strike: Callable[[Any], None]) -> int:
    """Begin a prompt, and do this to the server in the middle of its second command; gives the
    server's exit code."""

    async def body() -> int:
        async with opened(moonpool, command(tmp_path, *SLOW), FakeEditor()) as (client, process):
            session = await new(client, moonpool.directory)
            prompt = asyncio.create_task(ask(client, session, "go"))
            await sleeping(moonpool, session)
            strike(process)
            await asyncio.wait({prompt})
            prompt.exception()
            return int(await process.wait())

    return asyncio.run(body())


def ours(engine: Engine, run: Path) -> list[str]:
    """Containers that stand for a run."""
    return [row.id for row in engine.containers(LABEL_RUN) if row.labels[LABEL_RUN] == run.name]


def only(moonpool: Shell) -> Path:
    (run,) = (Path(moonpool.environ["MOONPOOL_HOME"]) / "runs").iterdir()
    return run


def summary(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "run.json").read_text())
    return found


@pytest.mark.slow
def test_edit_by_shell_in_a_sealed_container_is_shown_and_applied(
    moonpool: Shell, tmp_path: Path, engine: Engine, image: str
) -> None:
    (moonpool.directory / "calc.py").write_text("a + b\n")
    editor = FakeEditor(answer=choosing("allow-once"))
    words = command(tmp_path, bash("sed -i 's/+/*/' calc.py"), DONE)

    async def body() -> int:
        async with opened(moonpool, words, editor) as (client, process):
            session = await new(client, moonpool.directory)
            assert await ask(client, session, "mend it") == "end_turn"
            assert (moonpool.directory / "calc.py").read_text() == "a + b\n"
            await ask(client, session, "/apply")
        return int(process.returncode)

    assert asyncio.run(body()) == 0
    assert editor.diffs("call-1") == {str(moonpool.directory / "calc.py"): ("a + b\n", "a * b\n")}
    assert (moonpool.directory / "calc.py").read_text() == "a * b\n"
    run = only(moonpool)
    assert summary(run)["outcome"] == "finished"
    assert not ours(engine, run)
    assert "chat: mend it" in moonpool("runs").stdout
    assert "calc.py" in moonpool("show", "last").stdout


@pytest.mark.slow
def test_session_of_another_process_goes_on_where_it_ended_though_its_patch_was_applied(
    moonpool: Shell, tmp_path: Path, engine: Engine, image: str
) -> None:
    (moonpool.directory / "calc.py").write_text("a + b\n")
    editor = FakeEditor(answer=choosing("allow-once"))
    turns = [bash("sed -i 's/+/*/' calc.py"), DONE]

    async def first() -> str:
        async with opened(moonpool, command(tmp_path, *turns), editor) as (client, _process):
            session = await new(client, moonpool.directory)
            await ask(client, session, "mend it")
            await ask(client, session, "/apply")
            return session

    session = asyncio.run(first())
    assert (moonpool.directory / "calc.py").read_text() == "a * b\n"
    turns += [bash("sed -i 's/b/c/' calc.py; cat calc.py"), {"text": "Now.", "expect": ["a * c"]}]

    async def second() -> None:
        async with opened(moonpool, command(tmp_path, *turns), editor) as (client, _process):
            await client.load_session(
                cwd=str(moonpool.directory), session_id=session, mcp_servers=[]
            )
            assert await ask(client, session, "go on") == "end_turn"
            await ask(client, session, "/apply")

    asyncio.run(second())
    assert (moonpool.directory / "calc.py").read_text() == "a * c\n"
    assert editor.text("user_message_chunk") == "mend it"
    runs = sorted((Path(moonpool.environ["MOONPOOL_HOME"]) / "runs").iterdir())
    assert [summary(run)["outcome"] for run in runs] == ["finished", "finished"]
    assert not [*ours(engine, runs[0]), *ours(engine, runs[1])]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_in_the_middle_of_a_command_leaves_the_patch_and_no_container(
    moonpool: Shell, tmp_path: Path, engine: Engine, image: str, number: signal.Signals
) -> None:
    assert struck(moonpool, tmp_path, lambda process: process.send_signal(number)) == 130
    run = only(moonpool)
    assert summary(run)["outcome"] == "interrupted"
    assert b"+made" in (run / "patch.diff").read_bytes()
    assert not ours(engine, run)


@pytest.mark.parametrize("ends", [(0, 1), (1,)], ids=["both", "reading"])
def test_editor_that_dies_leaves_the_patch_and_no_container(
    moonpool: Shell, tmp_path: Path, engine: Engine, image: str, ends: tuple[int, ...]
) -> None:
    def die(process: Any) -> None:
        # Both ends at once, as when a process is killed; or a child of it holds one yet.
        for end in ends:
            process._transport.get_pipe_transport(end).close()

    assert struck(moonpool, tmp_path, die) == 0
    run = only(moonpool)
    assert summary(run)["outcome"] == "interrupted"
    assert b"+made" in (run / "patch.diff").read_bytes()
    assert not ours(engine, run)


def test_killed_server_leaves_sessions_that_resume_takes_up(
    moonpool: Shell, tmp_path: Path, engine: Engine, image: str
) -> None:
    assert struck(moonpool, tmp_path, lambda process: process.kill()) == -signal.SIGKILL
    run = only(moonpool)
    done = moonpool("resume", run.name, "--export-only")
    assert done.returncode == 1, done.stderr
    assert b"+made" in (run / "patch.diff").read_bytes()
    assert not ours(engine, run)


def test_nothing_of_an_untrusted_folder_is_loaded(
    moonpool: Shell, tmp_path: Path, engine: Engine, image: str
) -> None:
    """The editor stands in it, and starts the command there."""
    folder, marker = moonpool.directory, tmp_path / "marker"
    evil = f"open({str(marker)!r}, 'a').write(__name__ + ' ')\n"
    for name in ("agent", "acp", "policies", "sandbox", "docker", "anthropic", "yaml"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(evil)
    for name in ("sitecustomize.py", "usercustomize.py", "logfire.py", "json.py", "conftest.py"):
        (folder / name).write_text(evil)
    for name in ("moonpool.yaml", "config.yaml", "default.yaml", "ceiling.yaml", ".moonpool.yaml"):
        (folder / name).write_text("version: 1\nname: evil\nimage: none\nmodel: nobody\n")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text(f"[core]\n\tfsmonitor = touch {marker}\n")
    editor = FakeEditor()

    async def body() -> None:
        async with opened(moonpool, command(tmp_path, DONE), editor) as (client, _process):
            session = await new(client, folder)
            assert await ask(client, session, "go") == "end_turn"
            assert await ask(client, session, "/policy") == "end_turn"

    asyncio.run(body())
    assert not marker.exists(), marker.read_text()
    assert "default  (default.yaml)" in editor.text()
    assert "moonpool.yaml in the workspace is ignored" in editor.text("agent_thought_chunk")


def test_standard_output_carries_the_protocol_alone(
    moonpool: Shell, tmp_path: Path, engine: Engine, image: str
) -> None:
    """Through bad lines, a deprecated method, an unstable one, and a prompt that fails."""
    lines: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": {"protocolVersion": 1}},
        {"id": 2, "method": "session/new", "params": {"cwd": "/nowhere", "mcpServers": []}},
        {"id": 3, "method": "session/fork", "params": {"sessionId": "x", "cwd": "/"}},
        {"id": 4, "method": "session/set_model", "params": {}},
        {
            "id": 5,
            "method": "session/new",
            "params": {"cwd": str(moonpool.directory), "mcpServers": []},
        },
    ]
    said = [json.dumps({"jsonrpc": "2.0", **line}).encode() for line in lines]
    with subprocess.Popen(
        command(tmp_path),
        cwd=moonpool.directory,
        env=moonpool.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"nonsense\n[]\n" + b"\n".join(said) + b"\n")
        process.stdin.flush()
        told = [json.loads(process.stdout.readline())]
        while told[-1].get("id") != 5:
            told.append(json.loads(process.stdout.readline()))
        session = told[-1]["result"]["sessionId"]
        params = {"sessionId": session, "prompt": [{"type": "text", "text": "go"}]}
        prompt = {"jsonrpc": "2.0", "id": 6, "method": "session/prompt", "params": params}
        process.stdin.write(json.dumps(prompt).encode() + b"\n")
        process.stdin.flush()
        while told[-1].get("id") != 6:
            told.append(json.loads(process.stdout.readline()))
        rest, err = process.communicate(timeout=WAIT_S)
    told += [json.loads(line) for line in rest.splitlines()]
    assert {message["jsonrpc"] for message in told} == {"2.0"}
    assert process.returncode == 0
    assert err == b""


@pytest.mark.slow
def test_answer_of_a_service_streams_with_its_thoughts_and_is_broken_off_in_the_middle(
    moonpool: Shell, tmp_path: Path, engine: Engine, image: str
) -> None:
    editor = FakeEditor()
    words = [str(SCRIPT), "acp", "-m", "anthropic:claude-opus-5-5"]
    with StandIn() as api:
        moonpool.environ |= {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": api.key}
        api.queue(answer(Thought("Let me think."), "Mended it all."))
        api.queue(Break(How.HANG, before="message_stop"))
        api.queue(answer("And now."))

        async def body() -> None:
            async with opened(moonpool, words, editor) as (client, _process):
                session = await new(client, moonpool.directory)
                assert await ask(client, session, "first") == "end_turn"
                prompt = asyncio.create_task(ask(client, session, "second"))
                await asyncio.to_thread(until, lambda: len(api.requests) > 1)
                await client.cancel(session_id=session)
                assert await prompt == "cancelled"
                assert await ask(client, session, "third") == "end_turn"

        asyncio.run(body())
        assert all(request.fault is None for request in api.requests)
        told = json.dumps(api.requests[-1].body["messages"])
    assert "Let me think." in editor.text("agent_thought_chunk")
    pieces = [told["content"]["text"] for told in editor.of("agent_message_chunk")]
    assert "".join(pieces).startswith("Mended it all.")
    assert len(pieces) > 2
    assert "".join(pieces).endswith("And now.")
    assert "The person stopped the request" in told
    assert summary(only(moonpool))["outcome"] == "finished"


@pytest.mark.slow
def test_client_that_reads_nothing_holds_no_session_up_when_it_is_to_end(
    moonpool: Shell, tmp_path: Path, engine: Engine, image: str
) -> None:
    # A pipe takes 64 KiB: the first command is done, and what follows waits for a reader.
    many = [{"text": "x" * 30_000, **bash(f"echo {n} > made.txt")} for n in range(20)]
    with subprocess.Popen(
        command(tmp_path, *many, DONE),
        cwd=moonpool.directory,
        env=moonpool.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def say(number: int, method: str, params: dict[str, Any]) -> None:
            frame = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            assert process.stdin is not None
            process.stdin.write(json.dumps(frame).encode() + b"\n")
            process.stdin.flush()

        say(1, "initialize", {"protocolVersion": 1})
        say(2, "session/new", {"cwd": str(moonpool.directory), "mcpServers": []})
        told = json.loads(process.stdout.readline())
        while told.get("id") != 2:
            told = json.loads(process.stdout.readline())
        words = [{"type": "text", "text": "go"}]
        say(3, "session/prompt", {"sessionId": told["result"]["sessionId"], "prompt": words})
        events = Path(moonpool.environ["MOONPOOL_HOME"]) / "runs"
        until(
            lambda: any(b"changes_tracked" in path.read_bytes() for path in events.glob("*/ev*")),
            process=process,
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=WAIT_S) == 130
    run = only(moonpool)
    assert summary(run)["outcome"] == "interrupted"
    assert b"made.txt" in (run / "patch.diff").read_bytes()
    assert not ours(engine, run)


def test_prompt_with_what_no_chat_takes_is_refused(
    moonpool: Shell, tmp_path: Path, engine: Engine, image: str
) -> None:
    async def body() -> None:
        async with opened(moonpool, command(tmp_path), FakeEditor()) as (client, _process):
            session = await new(client, moonpool.directory)
            picture = ImageContentBlock(type="image", data="aGk=", mime_type="image/png")
            with pytest.raises(RequestError, match="images and sound are not taken"):
                await client.prompt(session_id=session, prompt=[picture])

    asyncio.run(body())


@pytest.mark.parametrize("stdin", ["null", "file", "closed"])
def test_command_without_an_editor_says_what_it_is(
    moonpool: Shell, tmp_path: Path, stdin: str
) -> None:
    file = tmp_path / "file"
    file.write_text("{}\n")
    redirected = {"null": "</dev/null", "file": f"<{file}", "closed": "<&-"}[stdin]
    done = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirected} | cat', "sh", *command(tmp_path)],
        env=moonpool.environ,
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.stdout == b""
    assert b"an editor starts `moonpool acp`" in done.stderr
