"""A record read back: its lines as the events they were.

The one way from ``events.jsonl`` to events. What a line says is checked against the models in
`events`; a line that does not have the shape that this version writes is named, never guessed at.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from agent.errors import RecordError
from agent.record.chain import Chain, chain_of
from agent.record.events.kinds import Recorded, decode
from agent.record.events.lifecycle import RunEnded
from agent.record.events.recorded import require_format
from agent.record.store import EVENTS, HEAD
from policies.frozen import dataclass

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordLine:
    """One line of a record."""

    seq: int
    """Counts from 0."""
    time: datetime
    """When it was written, UTC."""
    event: Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRecord:
    """A record, as far as it holds together and is of this version."""

    lines: tuple[RecordLine, ...]
    chain: Chain
    fault: str
    """What is wrong with the line after them, which one, and where; empty where nothing is."""

    @property
    def is_over(self) -> bool:
        """Its last event is the end of the run."""
        return bool(self.lines) and isinstance(self.lines[-1].event, RunEnded)

    def require(self) -> tuple[RecordLine, ...]:
        """All lines.

        Raises:
            RecordError: something is wrong with one of them.
        """
        if self.fault:
            raise RecordError(self.fault)
        return self.lines


def read_record(run: Path) -> ReadRecord:
    """Read a run's record, by the run's directory. A last line that a crash tore is left out.

    Raises:
        RecordError: the file can't be read.
    """
    chain = chain_of(run / EVENTS)
    lines: list[RecordLine] = []
    fault = chain.fault
    try:
        for row in chain.rows:
            lines.append(_line(row, len(lines), chain.path))
    except RecordError as error:
        fault = str(error)
    return ReadRecord(lines=tuple(lines), chain=chain, fault=fault)


def lines_of(rows: Iterable[Row], path: Path) -> tuple[RecordLine, ...]:
    """Lines that hold together as what they were.

    Raises:
        RecordError: one has not the shape that we write; says which, and what is wrong with it.
    """
    return tuple(_line(row, number, path) for number, row in enumerate(rows))


def _line(row: Row, number: int, path: Path) -> RecordLine:
    if number == 0 and row.get("event") == "run_started":
        require_format(row, str(path))
    try:
        time = datetime.fromisoformat(str(row.get("time")))
        if time.tzinfo is None:
            raise ValueError("no moment: from one to another nothing could be reckoned")
        return RecordLine(
            seq=number,
            time=time,
            event=decode({key: row[key] for key in row if key not in HEAD}),
        )
    except ValueError as error:
        raise RecordError(f"line {number + 1} of {path} has no `time`") from error
    except RecordError as error:
        raise RecordError(f"line {number + 1} of {path}: {error}") from error
