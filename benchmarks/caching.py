"""How much of a run's input is read from the prompt cache, and that a long run fits its window.

`python benchmarks/caching.py` prints the table. The runs go through the real SDK to the tests'
stand-in, which counts hits the way the API documents them, and enforces a window of 200,000 tokens.
Counts, not times: they are the same on every machine.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from agent.conversation.summary import ASK_FOR_NOTES
from agent.record.events.conversation import HistorySummarised, ResultsCleared
from agent.record.outcome import Finished
from fakes.long import SIZES, converse, share_read, turns
from policies.loading import load
from standins.anthropic.compacting import CompactingStandIn
from standins.exchange.replies import Behaviour, answer

TARGET = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    what: str
    model: str
    turns: int
    sizes: tuple[int, ...] = SIZES
    parallel: int = 1
    target: float | None = TARGET


RUNS = (
    Run(what="50 turns", model="claude-opus-5-5", turns=50),
    Run(what="300 turns, the service summarises", model="claude-opus-5-5", turns=300),
    Run(what="300 turns, by our own means", model="claude-haiku-4-5", turns=300),
    Run(
        what="12 turns of 30 calls each",
        model="claude-opus-5-5",
        turns=12,
        sizes=(200, 400),
        parallel=30,
        # Most of it is new: what was there before is read all the same.
        target=None,
    ),
)


def notes(body: Mapping[str, Any]) -> Behaviour | None:
    last = body["messages"][-1]["content"][-1]
    return answer("Notes on the work so far.") if last.get("text") == ASK_FOR_NOTES else None


def measured(run: Run) -> tuple[list[str], bool]:
    with CompactingStandIn(window=200_000) as api:
        api.aside = notes
        api.queue(*turns(run.turns, parallel=run.parallel, thoughts=30, sizes=run.sizes))
        ended, talk = converse(api, load("default"), name=run.model)
        share = share_read(talk.budget.used)
        made = [
            event for event in talk.log if isinstance(event, ResultsCleared | HistorySummarised)
        ]
        met = isinstance(ended, Finished) and (run.target is None or share >= run.target)
        row = [
            run.what,
            f"{talk.budget.used.all_input:,}",
            f"{share:.1%}",
            "" if run.target is None else f"{run.target:.0%}",
            f"{api.largest:,}",
            str(len(made)),
            f"${talk.budget.usd:.2f}",
        ]
        return row, met


def main() -> int:
    argparse.ArgumentParser(description=__doc__).parse_args()
    table = Table(title="input read from the prompt cache")
    for column in ("run", "input tokens", "read", "claim", "largest request", "room made", "cost"):
        table.add_column(column)
    results = [measured(run) for run in RUNS]
    for row, met in results:
        table.add_row(*row, style="" if met else "red")
    Console(width=120).print(table)
    return 0 if all(met for _, met in results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
