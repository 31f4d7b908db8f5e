"""A sandbox on an event loop: its work in a thread, and what a cancelled wait leaves behind."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import anyio
import pytest

from sandbox.async_sandbox import AsyncSandbox
from sandbox.errors import ContainerGone, FileMissing
from sandbox.results import CommandResult, Ending
from sandbox.sandbox import Sandbox
from waiting import WAIT_S

OpenBox = Callable[..., Sandbox]


async def shell(box: AsyncSandbox, command: str) -> CommandResult:
    return await box.call(lambda sandbox: sandbox.run(command, timeout_s=60))


def on_loop(body: Callable[[AsyncSandbox], Awaitable[None]], open_box: OpenBox) -> Sandbox:
    """Do it with a sandbox that is closed afterwards; gives that."""
    opened: list[Sandbox] = []

    def opening() -> Sandbox:
        opened.append(open_box())
        return opened[0]

    async def main() -> None:
        async with await AsyncSandbox.open(opening) as box:
            await body(box)

    anyio.run(main)
    return opened[0]


def test_work_asked_for_at_once_is_done_one_by_one(open_box: OpenBox) -> None:
    async def body(box: AsyncSandbox) -> None:
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(
                    shell, box, "mkdir alone && sleep 0.05 && rmdir alone && echo x >> done"
                )
        assert await box.call(lambda sandbox: sandbox.read_file("done")) == b"x\n" * 4

    on_loop(body, open_box)


def test_what_the_work_raises_is_raised_as_it_is(open_box: OpenBox) -> None:
    async def body(box: AsyncSandbox) -> None:
        with pytest.raises(FileMissing):
            await box.call(lambda sandbox: sandbox.read_file("none"))

    on_loop(body, open_box)


def test_the_loop_goes_on_while_a_command_runs(open_box: OpenBox) -> None:
    async def body(box: AsyncSandbox) -> None:
        turns = 0
        async with anyio.create_task_group() as group:
            group.start_soon(shell, box, "until [ -e go ]; do sleep 0.01; done")
            for _ in range(20):
                await anyio.sleep(0.001)
                turns += 1
            group.cancel_scope.cancel()
        assert turns == 20

    on_loop(body, open_box)


@pytest.mark.parametrize("how", ["a scope", "the task itself"])
def test_a_cancelled_wait_ends_the_command_and_no_other(open_box: OpenBox, how: str) -> None:
    async def body(box: AsyncSandbox) -> None:
        began = time.monotonic()
        if how == "a scope":
            with anyio.move_on_after(0.5) as scope:
                await shell(box, "sleep 50; touch late")
            assert scope.cancelled_caught
        else:
            task = asyncio.ensure_future(shell(box, "sleep 50; touch late"))
            await asyncio.sleep(0.5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert time.monotonic() - began < 40  # far from the command's own end
        after = await shell(box, "pgrep -x sleep; ls late; echo here")
        assert after.ending is Ending.EXITED
        assert after.stdout == b"here\n"

    on_loop(body, open_box)


def test_a_wait_cancelled_for_its_turn_ends_nothing(open_box: OpenBox) -> None:
    async def body(box: AsyncSandbox) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(shell, box, "until [ -e go ]; do sleep 0.01; done; echo first > first")
            await anyio.sleep(0.05)
            with anyio.move_on_after(0.05):
                await shell(box, "echo second > second")
            await box.share(lambda sandbox, _: sandbox.write_file("go", b""))
        assert await box.call(lambda sandbox: sandbox.read_file("first")) == b"first\n"
        with pytest.raises(FileMissing):
            await box.call(lambda sandbox: sandbox.read_file("second"))

    on_loop(body, open_box)


def test_a_cancel_that_comes_too_late_ends_no_later_command(open_box: OpenBox) -> None:
    async def body(box: AsyncSandbox) -> None:
        await box.call(lambda sandbox: sandbox.cancel())
        assert (await shell(box, "sleep 0.3; echo here")).stdout == b"here\n"

    on_loop(body, open_box)


def test_closing_ends_what_runs_and_no_container_stays(open_box: OpenBox) -> None:
    async def body(box: AsyncSandbox) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(shell, box, "sleep 50")
            await anyio.sleep(0.2)
            await box.close()
        await box.close()
        with pytest.raises(RuntimeError, match="closed"):
            await shell(box, "true")

    assert is_gone(on_loop(body, open_box))


def test_what_waits_for_its_turn_is_not_begun_once_it_is_closing(open_box: OpenBox) -> None:
    async def body(box: AsyncSandbox) -> None:
        async def later() -> None:
            with pytest.raises(RuntimeError, match="closed"):
                await shell(box, "sleep 50")

        async with anyio.create_task_group() as group:
            group.start_soon(shell, box, "sleep 50")
            await anyio.sleep(0.2)
            group.start_soon(later)
            await anyio.sleep(0.01)
            await box.close()

    assert is_gone(on_loop(body, open_box))


def test_a_cancelled_opening_leaves_no_container(open_box: OpenBox) -> None:
    opened: list[Sandbox] = []

    def opening() -> Sandbox:
        opened.append(open_box())
        return opened[0]

    async def main() -> None:
        with anyio.move_on_after(0.01) as scope:
            await AsyncSandbox.open(opening)
        assert scope.cancelled_caught

    anyio.run(main)
    assert is_gone(opened[0])


def is_gone(sandbox: Sandbox) -> bool:
    try:
        sandbox._session.engine.inspect(sandbox.id)
    except ContainerGone:
        return True
    return False


def test_shared_work_goes_on_beside_other_work_and_is_cancelled_alone(open_box: OpenBox) -> None:
    wait = ["sh", "-c", "until [ -e go ]; do sleep 0.02; done; echo gone"]

    async def body(box: AsyncSandbox) -> None:
        printed: list[bytes] = []

        async def program() -> None:
            done = await box.share(lambda sandbox, stop: sandbox.run_program(wait, cancel=stop))
            printed.append(done.stdout)

        async with anyio.create_task_group() as group:
            group.start_soon(program)
            with anyio.move_on_after(0.3) as over:
                argv = ["sleep", "60"]
                await box.share(lambda sandbox, stop: sandbox.run_program(argv, cancel=stop))
            assert over.cancelled_caught
            assert (await box.share(lambda sandbox, _: sandbox.list_dir("."))).entries == ()
            assert (await shell(box, "touch go")).exit_code == 0
        assert printed == [b"gone\n"]

    on_loop(body, open_box)


def test_closing_ends_shared_work_and_waits_for_it(open_box: OpenBox) -> None:
    async def body(box: AsyncSandbox) -> None:
        endings: list[Ending] = []

        async def program() -> None:
            argv = ["sleep", "60"]
            done = await box.share(lambda sandbox, stop: sandbox.run_program(argv, cancel=stop))
            endings.append(done.ending)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(program)
            with anyio.fail_after(WAIT_S):
                while (
                    await box.share(lambda s, _: s.run_program(["pgrep", "-c", "sleep"]))
                ).stdout != (b"3\n"):
                    await anyio.sleep(0.02)
            await box.close()
            assert endings == [Ending.CANCELLED] * 3
        with pytest.raises(RuntimeError):
            await box.share(lambda sandbox, _: sandbox.read_file("a"))

    on_loop(body, open_box)
