"""Whole batches on a service that fails or costs: real containers, the real SDKs, a stand-in."""

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from command_line.batching import end
from command_line.running import SCRIPT, Shell
from fakes.services import SERVICES, ProviderService
from sandbox import supply
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE
from standins.exchange.replies import Behaviour, Break, Call, How, Refuse, answer
from standins.exchange.server import Exchange
from waiting import WAIT_S, until

pytestmark = pytest.mark.slow

LIMIT = "limit: the batch's dollars"
PRICES = """\
version: 1
models:
  - model: {model}
    usd_per_million: {{input: 1, output: 5}}
"""


@dataclass(frozen=True, kw_only=True)
class Service:
    api: Exchange
    model: str
    environ: dict[str, str]


@pytest.fixture(params=SERVICES, ids=lambda service: service.provider)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    of: ProviderService = request.param
    with of.stand_in() as api:
        yield Service(api=api, model=of.model, environ=of.environ(api))


class Batch:
    """A batch of tasks on one small workspace, as a person starts it again and again."""

    def __init__(self, moonpool: Shell, service: Service, *, tasks: int) -> None:
        self._moonpool = moonpool
        self._service = service
        self.model = service.model
        (moonpool.directory / "readme.txt").write_text("A small project.\n")
        self._scratch = moonpool.directory.parent / "batch"
        self._scratch.mkdir()
        self._file = self._scratch / "tasks.jsonl"
        workspace = str(moonpool.directory)
        self._file.write_text(
            "".join(
                json.dumps({"id": f"t{number}", "task": "x", "workspace": workspace}) + "\n"
                for number in range(tasks)
            )
        )
        self.prices = self._scratch / "prices.yaml"
        self.prices.write_text(PRICES.format(model=service.model))
        self.processes: list[subprocess.Popen[str]] = []

    def command(self, *said: str) -> tuple[str, ...]:
        out = str(self._scratch / "out")
        return ("batch", "run", str(self._file), "-o", out, "-j", "4", "-m", self.model, *said)

    def run(self, *said: str) -> tuple[int, str]:
        done = self._moonpool(*self.command(*said), env=self._service.environ)
        return done.returncode, done.stdout + done.stderr

    def begin(self, *said: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [str(SCRIPT), *self.command(*said)],
            cwd=self._moonpool.directory,
            env={**self._moonpool.environ, **self._service.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def rows(self) -> list[dict[str, Any]]:
        lines = (self._scratch / "out/results.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    @property
    def runs(self) -> Path:
        return self._scratch / "out/runs"

    @property
    def begun(self) -> bool:
        return self.runs.is_dir() and any(self.runs.iterdir())


@pytest.fixture
def batch(moonpool: Shell, service: Service) -> Iterator[Batch]:
    made = Batch(moonpool, service, tasks=8)
    yield made
    if made.processes:
        end(Engine.connect(os.environ), made.processes)


@pytest.mark.usefixtures("image")
@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(Break(How.DROP, before=None), id="gone"),
        pytest.param(Refuse(429), id="refusing"),
    ],
)
def test_a_service_that_is_down_for_a_while_costs_no_task(
    service: Service, batch: Batch, failure: Behaviour
) -> None:
    until: list[float] = []

    def down() -> Behaviour:
        until.append(time.monotonic() + 2.0)
        return failure if time.monotonic() < until[0] else answer("Done.")

    service.api.instead = down
    code, said = batch.run()
    assert code == 0, said
    assert [row["outcome"] for row in batch.rows()] == ["finished"] * 8
    # Each task needs one answer; what came before it is bounded, whoever asked.
    assert len(service.api.requests) <= 8 + 4 + 8


@pytest.mark.usefixtures("image")
def test_a_batch_ends_at_its_budget_and_goes_on_with_a_larger_one(
    service: Service, batch: Batch
) -> None:
    number = itertools.count()

    def busy() -> Behaviour:
        return answer("I look around. " * 50, Call("bash", {"command": f"echo {next(number)}"}))

    service.api.instead = busy
    prices = ("--prices", str(batch.prices))
    code, said = batch.run("--usd", "0.5", *prices)
    assert code == 1, said
    rows = batch.rows()
    assert LIMIT in {row["outcome"] for row in rows}
    assert {row["error_kind"] for row in rows if row["outcome"] == LIMIT} == {"setting"}
    spent = sum(row["usd"] or 0.0 for row in rows)
    assert 0.3 < spent <= 0.5
    asked = len(service.api.requests)

    # What was spent is spent: the same budget asks nobody any more.
    code, said = batch.run("--usd", "0.5", *prices)
    assert code == 1, said
    assert sum(row["usd"] or 0.0 for row in batch.rows()) <= 0.5
    assert len(service.api.requests) - asked <= 3

    service.api.instead = lambda: answer("Done.")
    code, said = batch.run("--usd", "5", *prices)
    assert code == 0, said
    assert {row["outcome"] for row in batch.rows()} == {"finished"}


@pytest.mark.usefixtures("image")
def test_what_was_in_flight_when_a_batch_was_killed_counts_as_spent(
    service: Service, batch: Batch
) -> None:
    prices = ("--prices", str(batch.prices))
    asked = killed_in_a_call(service, batch)
    service.api.instead = lambda: answer("Done.")
    spent = []
    for _ in range(2):
        code, said = batch.run("--usd", "0.05", *prices)
        assert code == 1, said
        assert {row["outcome"] for row in batch.rows()} == {LIMIT}
        spent.append(max(row["usd"] or 0.0 for row in batch.rows()))
        assert len(service.api.requests) == asked == 1
    assert spent[0] > 0.04
    code, said = batch.run("--usd", "5", *prices)
    assert code == 0, said


@pytest.mark.usefixtures("image")
def test_what_was_in_flight_stays_spent_where_the_container_is_gone(
    service: Service, batch: Batch, engine: Engine
) -> None:
    asked = killed_in_a_call(service, batch)
    (run,) = [run for run in batch.runs.iterdir() if b"call_reserved" in run_record(run)]
    for row in engine.containers(LABEL_DEADLINE):
        if supply.run_of(row.labels, row.name) == run.name:
            engine.remove(row.id)
    service.api.instead = lambda: answer("Done.")
    for _ in range(2):
        code, said = batch.run("--usd", "0.05", "--prices", str(batch.prices))
        assert code == 1, said
        assert len(service.api.requests) == asked


def run_record(run: Path) -> bytes:
    record = run / "events.jsonl"
    return record.read_bytes() if record.exists() else b""


def killed_in_a_call(service: Service, batch: Batch) -> int:
    """A batch whose process was killed while an answer was awaited that may cost all of its budget;
    gives how many requests it made."""
    service.api.instead = lambda: Break(How.HANG, before=None)
    # One answer may cost all of it, so that one call is made.
    going = batch.begin("--usd", "0.05", "--prices", str(batch.prices))
    until(lambda: service.api.requests, process=going)
    going.kill()
    going.communicate()
    return len(service.api.requests)


@pytest.mark.usefixtures("image")
def test_a_batch_that_waits_for_the_service_stops_at_the_first_signal(
    service: Service, batch: Batch
) -> None:
    service.api.instead = lambda: Refuse(429, {"retry-after": "3000"})
    going = batch.begin("--usd", "50", "--prices", str(batch.prices))
    until(lambda: service.api.requests, process=going)
    going.send_signal(signal.SIGINT)
    # The wait is longer than any test waits.
    said, _ = going.communicate(timeout=WAIT_S)
    assert going.returncode == 130, said
    assert len(service.api.requests) <= 4
    service.api.instead = lambda: answer("Done.")
    code, said = batch.run("--usd", "50", "--prices", str(batch.prices))
    assert code == 0, said
    assert [row["outcome"] for row in batch.rows()] == ["finished"] * 8


@pytest.mark.usefixtures("image")
def test_the_time_of_a_batch_is_that_of_all_its_processes(service: Service, batch: Batch) -> None:
    service.api.instead = lambda: answer("Done.")
    code, said = batch.run("--time", "1s")
    assert code == 1, said
    assert "limit: the batch's time" in {row["outcome"] for row in batch.rows()}
    asked = len(service.api.requests)
    code, said = batch.run("--time", "1s")
    assert code == 1, said
    assert len(service.api.requests) == asked
    code, said = batch.run("--time", "1h")
    assert code == 0, said


def test_dollars_without_a_price_are_refused_before_anything_starts(
    service: Service, batch: Batch
) -> None:
    batch.model = f"{service.model.partition(':')[0]}:unheard-of"
    code, said = batch.run("--usd", "5")
    assert code == 2
    assert "the batch has a budget in dollars, but the price of" in said
    assert "--prices FILE" in said
    assert service.api.requests == []
    assert not batch.begun
