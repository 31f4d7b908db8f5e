"""What samples try: to end their sandbox, to fill or flood it, to look at another one's."""

import contextlib
import shlex
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest
from anyio.to_thread import run_sync
from inspect_ai.util import (
    OutputLimitExceededError,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
    override_sandbox_output_limit,
)

from agent.servers.inspect.provider import MoonpoolSandboxEnvironment

pytestmark = pytest.mark.anyio
Box = MoonpoolSandboxEnvironment
OpenEnvironment = Callable[..., Awaitable[Box]]


@pytest.mark.parametrize(
    "script",
    [
        "kill -9 1",
        "kill -9 -1",
        "kill -TERM 1; pkill -9 python3; true",
        ":(){ :|:& };:",
        "exec 1<&-; exec 2<&-; kill -9 $$",
        "python3 -c 'import os; os.kill(1, 9)'",
        "for f in /proc/1/fd/*; do echo x > $f; done 2>&1; true",
    ],
)
async def test_a_sample_cannot_end_its_sandbox(environment: Box, script: str) -> None:
    await environment.write_file("stands.txt", "yes")
    with contextlib.suppress(TimeoutError):
        await environment.exec(["bash", "-c", script], timeout=3)
    assert await environment.read_file("stands.txt") == "yes"
    assert (await environment.exec(["echo", "still"])).stdout == "still\n"


async def test_a_container_that_dies_is_no_output_of_a_command(environment: Box) -> None:
    """The engine kills it under a command: that is told as what it is, and the next call works."""
    await environment.write_file("kept.txt", "kept")
    engine = environment._box._sandbox._session.engine

    async def kill() -> None:
        while not (await environment.exec(["pgrep", "-f", "sleep 987"])).stdout:
            await anyio.sleep(0.02)
        await run_sync(engine.kill, environment._container)

    async with anyio.create_task_group() as group:
        group.start_soon(kill)
        with pytest.raises(SandboxUnavailableError, match="failed"):
            await environment.exec(["sh", "-c", "echo partly; sleep 987"])
    assert await environment.read_file("kept.txt") == "kept"


async def test_a_container_that_was_removed_stays_unavailable_and_is_closed_well(
    environment: Box,
) -> None:
    engine = environment._box._sandbox._session.engine
    await run_sync(engine.remove, environment._container)
    for _ in range(2):
        with pytest.raises(SandboxUnavailableError):
            await environment.exec(["true"])
        with pytest.raises(SandboxUnavailableError):
            await environment.read_file("a")
        with pytest.raises(SandboxUnavailableError):
            await environment.write_file("a", "b")
    with pytest.raises(ConnectionError):
        await environment.connection()


async def test_a_flood_of_output_is_bounded_and_kept_in_part(environment: Box) -> None:
    with pytest.raises(OutputLimitExceededError) as caught:
        await environment.exec(["sh", "-c", "echo first; head -c 300000000 /dev/zero; echo last"])
    shown = caught.value.truncated_output or ""
    assert shown.startswith("first\n")
    assert shown.endswith("last\n")
    assert len(shown) < SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE
    with pytest.raises(TimeoutError) as timed_out:
        await environment.exec(["yes"], timeout=1)
    assert "y\ny\n" in timed_out.value.truncated_output  # type: ignore[attr-defined]


async def test_output_within_the_limit_arrives_whole(environment: Box) -> None:
    script = "seq 1000000; seq 1000000 >&2"
    done = await environment.exec(["sh", "-c", script])
    expected = "".join(f"{at}\n" for at in range(1, 1_000_001))
    assert done.stdout == done.stderr == expected
    with override_sandbox_output_limit(1 << 10), pytest.raises(OutputLimitExceededError):
        await environment.exec(["seq", "1000"])
    # Nothing of it is left in the sandbox.
    assert (await environment.exec(["sh", "-c", "ls /tmp/.moonpool"])).stdout.count("out-") <= 2


async def test_a_full_disk_ends_the_command_and_not_the_sandbox(
    open_environment: OpenEnvironment, tmp_path: Path
) -> None:
    file = tmp_path / "small.yaml"
    file.write_text("{version: 1, name: small, extends: evals, limits: {disk: 64MiB}}")
    environment = await open_environment(str(file))
    done = await environment.exec(["sh", "-c", "while :; do head -c 1M /dev/zero >> big; done"])
    assert not done.success
    assert "disk limit" in done.stderr
    assert (await environment.exec(["rm", "big"])).success
    await environment.write_file("a", "b")


async def test_files_that_never_end_or_never_answer_are_refused_at_once(environment: Box) -> None:
    await environment.exec(["sh", "-c", "ln -s /dev/zero z; mkfifo p; ln -s loop loop"])
    for name in ("z", "p", "loop", "/proc/1/mem", "/dev/zero"):
        with pytest.raises(OSError, match=r"denied|regular|many levels|argument|directory"):
            await environment.read_file(name, text=False)
    await environment.exec(["sh", "-c", "truncate -s 2G sparse"])
    with pytest.raises(OutputLimitExceededError), override_sandbox_output_limit(1 << 20):
        await environment.read_file("sparse", text=False)


async def test_nothing_is_written_outside_of_what_the_policy_says(environment: Box) -> None:
    for name in ("/etc/passwd", "/usr/bin/ls", "/opt/x", "/workspace/../etc/x"):
        with pytest.raises(PermissionError):
            await environment.write_file(name, "x")
    await environment.exec(["ln", "-s", "/etc/passwd", "link"])
    with pytest.raises(PermissionError):
        await environment.write_file("link", "x")


async def test_a_program_that_the_policy_does_not_list_does_not_run(environment: Box) -> None:
    with pytest.raises(PermissionError, match="perl"):
        await environment.exec(["/usr/bin/perl", "-e", "print 1"])
    for path in ("/workspace:/usr/bin", "/nowhere"):
        seen = await environment.exec(["sh", "-c", "perl -e 'print 42*42'"], env={"PATH": path})
        assert "1764" not in seen.stdout
    missing = await environment.exec(["no-such-program"])
    assert (missing.success, missing.returncode) == (False, 127)


@pytest.mark.parametrize("odd", ["a\0b", "a\ud800b", "\ud800"])
async def test_a_word_or_a_name_that_no_kernel_takes_is_refused_in_text_that_can_be_logged(
    environment: Box, odd: str
) -> None:
    for words, stdin in (([odd], None), (["cat", odd], None), (["cat"], odd)):
        done = await environment.exec(words, input=stdin)
        assert done.success == ("\0" in odd and stdin is not None)
        assert done.stderr.encode() or done.success
    for way in (environment.read_file(odd), environment.write_file(odd, "x")):
        with pytest.raises(FileNotFoundError):
            await way


async def test_another_user_and_a_key_in_the_environment_are_refused(environment: Box) -> None:
    for user in ("root", "0", "nobody", "", "agent; root"):
        if user:
            with pytest.raises(SandboxUserUnsupportedError):
                await environment.exec(["touch", "ran"], user=user)
    with pytest.raises(ValueError, match="ANTHROPIC_API_KEY"):
        await environment.exec(["touch", "ran"], env={"ANTHROPIC_API_KEY": "x"})
    with pytest.raises(FileNotFoundError):
        await environment.read_file("ran")
    assert (await environment.exec(["id", "-un"], user="agent")).success


async def test_samples_do_not_see_each_other(open_environment: OpenEnvironment) -> None:
    one, other = await open_environment(), await open_environment()
    await one.write_file("hush.txt", "mine")
    await one.write_file("/tmp/hush.txt", "mine")
    find = "find / -name 'hus[h]*' 2>/dev/null; ls /tmp; ps axww; hostname -i; true"
    async with anyio.create_task_group() as group:
        group.start_soon(one.exec, ["sleep", "765"])
        seen = await other.exec(["sh", "-c", find])
        group.cancel_scope.cancel()
    assert "hush" not in seen.stdout
    assert "765" not in seen.stdout
    assert one._container != other._container


async def test_calls_at_once_end_and_are_cancelled_each_by_itself(environment: Box) -> None:
    """As a bridge does: one command runs until another one has brought what it waits for."""
    results: dict[str, str] = {}
    wait = "until [ -e answer ]; do sleep 0.02; done; cat answer"

    async def agent() -> None:
        results["agent"] = (await environment.exec(["sh", "-c", wait], timeout=60)).stdout

    async with anyio.create_task_group() as group:
        group.start_soon(agent)
        with anyio.move_on_after(0.3) as gave_up:
            await environment.exec(["sh", "-c", "echo $$ > pid; sleep 876"])
        assert gave_up.cancelled_caught
        gone = await environment.exec(["pgrep", "-f", "sleep 876"])
        assert gone.stdout == ""
        await environment.write_file("answer", "42")
    assert results == {"agent": "42"}


async def test_closing_ends_what_runs(open_environment: OpenEnvironment) -> None:
    environment = await open_environment()
    began = time.monotonic()
    ended: list[str] = []

    async def wait() -> None:
        try:
            done = await environment.exec(["sleep", "600"])
            ended.append(f"exit code {done.returncode}")
        except SandboxUnavailableError as error:
            ended.append(str(error))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        while not (await environment.exec(["pgrep", "sleep"])).success:
            await anyio.sleep(0.02)
        await environment._box.close()
    assert time.monotonic() - began < 300
    assert ended in (["exit code 137"], ["exit code 143"]) or "failed" in ended[0]
    with pytest.raises(SandboxUnavailableError, match="closed"):
        await environment.exec(["true"])


async def test_a_person_gets_a_shell_in_it(environment: Box) -> None:
    await environment.write_file("a.txt", "here\n")
    connection = await environment.connection()
    assert (connection.type, connection.container) == ("moonpool", environment._container)
    words = [word for word in shlex.split(connection.command) if word not in {"-it", "-l"}]
    done = await anyio.run_process([*words, "-c", "cat a.txt; id -un"])
    assert done.stdout.decode().split() == ["here", "agent"]
    with pytest.raises(SandboxUserUnsupportedError):
        await environment.connection(user="root")
