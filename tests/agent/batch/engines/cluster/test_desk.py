"""What the desk sends while thousands wait at it: counted in one event loop, without a thread."""

import asyncio
from collections.abc import Awaitable, Callable

from agent.batch.engines.cluster.desk import BatchDesk, RunProgress, Told
from agent.conversation.shared_budget import BatchAllowance, BatchUsed

PROCESSES = 500
OTHERS = 100_000
"""So many runs that a beat without an occasion is answered after minutes."""


class Process:
    """Makes one run, and asks the desk again as soon as it has answered."""

    def __init__(self, desk: BatchDesk, number: int) -> None:
        self.desk = desk
        self.name = f"process{number}"
        self.run = f"run{number}"
        self.heard: list[str] = []
        self.answers: list[Told] = []

    async def listen(self) -> None:
        while True:
            told = await self.desk.beat(self.name, {}, {self.run: len(self.heard)})
            self.answers.append(told)
            self.heard += told.names.get(self.run, ())[len(self.heard) :]

    def names_sent(self) -> int:
        return sum(len(names) for told in self.answers for names in told.names.values())


def listening(scene: Callable[[BatchDesk, list[Process]], Awaitable[None]]) -> list[Process]:
    """Does something while so many processes wait at one desk, each for its answer."""

    async def play() -> list[Process]:
        desk = BatchDesk(BatchAllowance(), BatchUsed())
        at = RunProgress(turn=1, doing="thinking", usd=0.0)
        await desk.beat("large", {f"another{number}": at for number in range(OTHERS)}, {})
        made = [Process(desk, number) for number in range(PROCESSES)]
        tasks = [asyncio.ensure_future(process.listen()) for process in made]
        await settled()
        for process in made:
            process.answers.clear()
        await scene(desk, made)
        await settled()
        for task in tasks:
            task.cancel()
        return made

    return asyncio.run(play())


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def end_all(desk: BatchDesk, processes: list[Process]) -> None:
    for process in processes:
        await desk.tell(process.run, "SIGINT")


def test_who_tells_all_runs_to_end_sends_each_process_the_one_name_that_is_its_own() -> None:
    made = listening(end_all)
    assert all(process.heard == ["SIGINT"] for process in made)
    assert sum(process.names_sent() for process in made) == PROCESSES
    assert sum(len(process.answers) for process in made) == PROCESSES


def test_a_second_signal_comes_with_the_first_and_with_no_one_elses() -> None:
    async def twice(desk: BatchDesk, processes: list[Process]) -> None:
        await end_all(desk, processes)
        await settled()
        for process in processes:
            await desk.tell(process.run, "SIGTERM")

    made = listening(twice)
    assert all(process.heard == ["SIGINT", "SIGTERM"] for process in made)
    assert sum(process.names_sent() for process in made) == 3 * PROCESSES


def test_runs_that_nobody_makes_yet_are_told_to_nobody_and_all_hear_once_that_they_ask() -> None:
    async def unknown(desk: BatchDesk, processes: list[Process]) -> None:
        for number in range(PROCESSES):
            await desk.tell(f"waits{number}", "SIGINT")
        await settled()
        assert await desk.told(processes[0].name, "waits0") == ("SIGINT",)

    made = listening(unknown)
    assert sum(process.names_sent() for process in made) == 0
    assert all([told.ask for told in process.answers] == [True] for process in made)


def test_nobody_asks_any_more_once_the_runs_that_were_sought_are_over() -> None:
    async def over(desk: BatchDesk, processes: list[Process]) -> None:
        await desk.tell("waits", "SIGINT")
        await settled()
        await desk.forget("waits")
        await desk.tell(processes[0].run, "SIGINT")

    made = listening(over)
    assert [told.ask for told in made[0].answers] == [True, False]
    assert all(process.answers[0].ask for process in made[1:])
