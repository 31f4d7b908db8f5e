"""What a person sees of a running batch: a line a worker, and how far all of it is.

Owns the wording and the layout, as lines from values. Everything that a task or a run had a hand in
is made visible. Refuses to know a terminal.
"""

from collections.abc import Iterable

from agent.batch.board import BoardLine
from agent.batch.watching.tally import Tally
from agent.batch.watching.wording import how_many, named
from agent.terminal.screen import Line
from policies.errors import duration
from policies.frozen import dataclass

_NAME_WIDTH = 24
_BAR_WIDTH = 30
_FOOT_ROWS = 3
_STYLES = {"agent": "yellow", "environment": "red", "service": "magenta", "setting": "red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SoFar:
    """Where a process began, to tell how fast it is."""

    over: int
    usd: float


def frame(
    tally: Tally,
    running: Iterable[BoardLine],
    *,
    now_s: float,
    elapsed_s: float,
    before: SoFar,
    rows: int,
    fancy: bool,
) -> list[Line]:
    """The lines, `rows` at most.

    Args:
        now_s: by the clock of `BoardLine.began_s`.
        elapsed_s: how long this process has worked.
        before: what was there when it began.
    """
    workers = sorted(running, key=lambda line: line.began_s)
    room = max(1, rows - _FOOT_ROWS)
    shown = workers if len(workers) <= room else workers[: room - 1]
    lines = [_worker(line, now_s) for line in shown]
    if len(shown) < len(workers):
        lines.append(Line(f"  and {len(workers) - len(shown)} more", "dim"))
    lines.append(_bar(tally, len(workers), fancy=fancy))
    lines.append(_pace(tally, elapsed_s, before))
    return lines


def _worker(line: BoardLine, now_s: float) -> Line:
    name = named(line.task_id, line.attempt)
    if len(name) > _NAME_WIDTH:
        name = f"{name[: _NAME_WIDTH - 1]}…"
    shown = Line(f"{name:<{_NAME_WIDTH}}", "bold")
    shown.append(f" turn {line.turn:<3}{duration(int(now_s - line.began_s)):>11}  ", "dim")
    return shown.append(line.doing)


def _bar(tally: Tally, running: int, *, fancy: bool) -> Line:
    total = max(tally.total, 1)
    finished, failed = tally.finished(), tally.failed()
    full, begun, empty = ("█", "▒", "░") if fancy else ("#", "=", ".")
    parts = [("green", full, finished), *((_style(k), full, n) for k, n in sorted(failed.items()))]
    parts += [("cyan", begun, running)]
    line = Line()
    drawn = counted = 0
    for style, mark, count in parts:
        counted += count
        width = min(_BAR_WIDTH, round(counted * _BAR_WIDTH / total)) - drawn
        line.append(mark * max(width, 0), style)
        drawn += max(width, 0)
    line.append(empty * (_BAR_WIDTH - drawn), "dim")
    line.append(f" {finished} done", "green").append(f" · {running} running", "cyan")
    for kind, count in sorted(failed.items()):
        line.append(f" · {how_many(count, kind)}", _style(kind))
    waiting = max(tally.total - tally.over - running, 0)
    return line.append(f" · {waiting} waiting", "dim")


def _pace(tally: Tally, elapsed_s: float, before: SoFar) -> Line:
    usd, over = tally.usd - before.usd, tally.over - before.over
    words = f"${tally.usd:.2f}"
    if elapsed_s >= 1:
        words += f", ${usd * 3600 / elapsed_s:.2f} an hour"
    words += f" · {duration(int(elapsed_s))}"
    if over > 0:
        left_s = (tally.total - tally.over) * elapsed_s / over
        words += f", about {duration(int(left_s))} left"
    return Line(words, "dim")


def _style(kind: str) -> str:
    return _STYLES.get(kind, "yellow")
