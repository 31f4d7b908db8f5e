"""What a batch came to: its exit code, its last words, and the last line of ``--json``."""

from agent import exit_codes
from agent.batch.scheduler import Scheduler
from agent.batch.stopping import Stopping
from agent.batch.watching.tally import Tally
from agent.batch.watching.wording import how_many


def exit_code(scheduler: Scheduler, tally: Tally, *, written: bool) -> int:
    """Of a batch that has ended.

    Args:
        written: its results could be.
    """
    if scheduler.stopping is not Stopping.NOT:
        return exit_codes.INTERRUPTED
    if scheduler.trouble or not written:
        return exit_codes.ENVIRONMENT
    return exit_codes.NOT_FINISHED if tally.unfinished_tasks() else exit_codes.DONE


def summary(tally: Tally, code: int) -> dict[str, object]:
    """The last line of ``--json``."""
    return {
        "event": "summary",
        "exit_code": code,
        "attempts": tally.total,
        "over": tally.over,
        "finished": tally.finished(),
        "failed": dict(tally.failed()),
        "unfinished_tasks": len(tally.unfinished_tasks()),
        "usd": round(tally.usd, 6),
        "tokens": tally.tokens,
    }


def closing_words(tally: Tally) -> str:
    """One line for a person."""
    words = [f"{tally.finished()} of {tally.total} attempts finished"]
    words += [how_many(count, kind) for kind, count in sorted(tally.failed().items())]
    if tally.total > tally.over:
        words.append(f"{tally.total - tally.over} are still to be done")
    return f"{', '.join(words)}; ${tally.usd:.2f}"
