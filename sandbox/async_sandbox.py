"""A sandbox for callers on an event loop, asyncio's or trio's.

Owns the thread in which the sandbox's work is done, and what a cancelled wait means: the command in
the container is ended, and the sandbox can be used again. Everything else is `Sandbox`.
"""

import threading
from collections.abc import Callable
from typing import Self, TypeVar

import anyio
from anyio.to_thread import run_sync

from sandbox.sandbox import Sandbox

T = TypeVar("T")


class AsyncSandbox:
    """One sandbox, whose work is done in a worker thread, one piece at a time. Use as an async
    context manager.

        async with await AsyncSandbox.open(lambda: Sandbox.open(workspace=..., policy=...)) as box:
            result = await box.call(lambda sandbox: sandbox.run("pytest -q"))
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._turn = anyio.Lock()
        self._shared: set[anyio.Event] = set()
        self._closed = False

    @classmethod
    async def open(cls, opening: Callable[[], Sandbox]) -> Self:
        """Open one in a thread. A cancelled wait closes it once it is open.

        Args:
            opening: as ``lambda: Sandbox.open(...)``; what it raises is raised here.
        """
        opened: list[Sandbox] = []
        try:
            await _in_thread(lambda: opened.append(opening()))
        except BaseException:
            for sandbox in opened:
                with anyio.CancelScope(shield=True):
                    await _in_thread(sandbox.close)
            raise
        return cls(opened[0])

    async def call(self, work: Callable[[Sandbox], T]) -> T:
        """Do some work on the sandbox, after what was asked before it.

        A cancelled wait ends the command that runs, as `Sandbox.cancel` does, and waits for that.

        Raises:
            RuntimeError: it is closed.
        """
        async with self._turn:
            if self._closed:
                raise RuntimeError("the sandbox is closed")
            try:
                return await _in_thread(lambda: work(self._sandbox), cancel=self._sandbox.cancel)
            finally:
                self._sandbox.forget_cancel()

    async def share(self, work: Callable[[Sandbox, threading.Event], T]) -> T:
        """Do some work that threads may share a sandbox for, beside all else that goes on.

        Args:
            work: given the event that is set when its wait is cancelled, for `run_program`.

        Raises:
            RuntimeError: it is closed.
        """
        if self._closed:
            raise RuntimeError("the sandbox is closed")
        cancelled, over = threading.Event(), anyio.Event()
        self._shared.add(over)
        try:
            return await _in_thread(lambda: work(self._sandbox, cancelled), cancel=cancelled.set)
        finally:
            self._shared.remove(over)
            over.set()

    async def close(self) -> None:
        """End what runs, and remove the container; may be called again, and is never cancelled."""
        with anyio.CancelScope(shield=True):
            # At once: whatever waits for its turn would run to its end before the container's.
            closed, self._closed = self._closed, True
            if self._turn.locked() or self._shared:
                self._sandbox.cancel()
            async with self._turn:
                for over in tuple(self._shared):
                    await over.wait()
                if not closed:
                    await _in_thread(self._sandbox.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _in_thread(work: Callable[[], T], cancel: Callable[[], None] = lambda: None) -> T:
    """What `work` gives. A cancelled wait calls `cancel`, and goes on once the thread is done."""
    given: list[T] = []
    raised: list[BaseException] = []
    done = anyio.Event()

    async def do() -> None:
        with anyio.CancelScope(shield=True):
            try:
                # A limiter of its own: an open sandbox never waits for the threads of others.
                given.append(await run_sync(work, limiter=anyio.CapacityLimiter(1)))
            except BaseException as error:  # noqa: BLE001 - raised again below, in whoever waits
                raised.append(error)
            done.set()

    async with anyio.create_task_group() as group:
        group.start_soon(do)
        try:
            await done.wait()
        except anyio.get_cancelled_exc_class():
            if not done.is_set():
                cancel()
            raise
    for error in raised:
        raise error
    return given[0]
