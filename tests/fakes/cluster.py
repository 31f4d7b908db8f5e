"""A cluster of threads: what crosses processes crosses pickle here, and Ray is not needed."""

import asyncio
import pickle
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress

from agent.batch.engines.cluster.boxes import CargoBoxes
from agent.batch.engines.cluster.desk import BatchDesk
from agent.batch.engines.cluster.engine import MachineLost
from agent.batch.engines.cluster.link import DeskListener
from agent.batch.engines.cluster.node import (
    BatchPlace,
    RemoteEnd,
    RemoteOrder,
    attempt,
    held_runs,
    sweep,
)
from agent.conversation.shared_budget import BatchAllowance, BatchUsed
from agent.errors import RecordError
from agent.record.run_state import BudgetSpent


class ThreadDesk:
    """A `DeskLink`: the desk's loop runs in a thread. Close it."""

    def __init__(
        self, allowed: BatchAllowance | None = None, used: BatchUsed | None = None
    ) -> None:
        self.allowed = allowed or BatchAllowance()
        self.desk = BatchDesk(self.allowed, used or BatchUsed())
        self.gone = False
        """Its process has ended."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def ask(self, method: str, *values: object, until: Callable[[], bool] | None = None) -> object:
        if self.gone:
            raise RecordError("the desk is gone")
        crossed = pickle.loads(pickle.dumps(values))
        work = getattr(self.desk, method)(*crossed)
        try:
            future: Future[object] = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:  # between two looks at `gone`
            work.close()
            raise RecordError("the desk is gone") from error
        while True:
            try:
                got = future.result(0.02 if until is not None else None)
            except TimeoutError:
                if until is not None and until():
                    return None
            except CancelledError as error:
                raise RecordError("the desk is gone") from error
            else:
                return pickle.loads(pickle.dumps(got))

    def tell(self, method: str, *values: object) -> None:
        with suppress(RecordError):
            self.ask(method, *values)

    def close(self) -> None:
        self.gone = True

        async def end() -> None:
            waiting = asyncio.all_tasks() - {asyncio.current_task()}
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class DictStore:
    """A `PieceStore`."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.got: list[int] = []

    def put(self, piece: bytes, /) -> object:
        self.pieces.append(piece)
        return len(self.pieces) - 1

    def get(self, name: object, /) -> bytes:
        assert isinstance(name, int)
        self.got.append(name)
        return self.pieces[name]


class ThreadCluster:
    """A `Cluster` of one machine, whose processes may be lost as often as a test says."""

    def __init__(self, desk: ThreadDesk, store: DictStore, place: BatchPlace) -> None:
        self.desk = desk
        self.store = store
        self.place = place
        self.boxes = CargoBoxes(place.settings.environ())
        self.listener = DeskListener(desk)
        self.lost_after: list[Callable[[RemoteOrder], None]] = []
        """Each loses one process, once it has done this."""
        self.sent: list[tuple[RemoteOrder, str]] = []
        self.ended: list[str] = []

    def start(self, remote: RemoteOrder, *, node: str = "") -> "Future[RemoteEnd]":
        self.sent.append((remote, node))
        crossed = pickle.loads(pickle.dumps(remote))
        future: Future[RemoteEnd] = Future()

        def work() -> None:
            if self.lost_after:
                self.lost_after.pop(0)(crossed)
                future.set_exception(MachineLost("its process is gone"))
                return
            future.set_result(pickle.loads(pickle.dumps(self.attempt(crossed))))

        threading.Thread(target=work, daemon=True).start()
        return future

    def attempt(self, remote: RemoteOrder) -> RemoteEnd:
        """In the one process."""
        return attempt(remote, self.desk, self.store, self.listener, self.boxes, node="machine")

    def end(self, run_id: str) -> None:
        self.ended.append(run_id)

    def holders(
        self, place: BatchPlace, runs: tuple[str, ...], *, alone: bool
    ) -> Mapping[str, tuple[str, BudgetSpent]]:
        return {run: ("machine", spent) for run, spent in held_runs(place, runs, alone=alone)}

    def sweep(self, place: BatchPlace, runs: tuple[str, ...]) -> tuple[str, ...]:
        sweep(place, runs)
        return ()

    def close(self) -> None:
        pass
