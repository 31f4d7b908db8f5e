"""What a run has used, and how room was made in it, as a line for a person."""

from typing import assert_never

from agent.models.interface import Usage
from agent.record.events.types import (
    BudgetUsed,
    HistorySummarised,
    ResultsCleared,
    ResultsShortened,
)

_AUTHORS = {
    "service": "the service wrote the summary",
    "model": "the model wrote the summary",
    "nobody": "no summary could be had: a list of the calls stands in",
}


def spending_in_words(
    event: BudgetUsed | ResultsCleared | ResultsShortened | HistorySummarised,
) -> str:
    """One line: turns, tokens, dollars and time; or what is not sent any more."""
    match event:
        case BudgetUsed():
            return _metered(event)
        case ResultsShortened():
            return f"results too large for the model: {event.most_bytes} bytes of each are sent"
        case ResultsCleared():
            return f"old results are not sent any more: {_shrunk(event)}"
        case HistorySummarised():
            author = _AUTHORS.get(event.author, "")
            return f"older turns were summarised ({author}): {_shrunk(event)}"
        case _:
            assert_never(event)


def tokens_in_words(count: int) -> str:
    """Such as ``950``, ``34.5k`` or ``1.2M``."""
    if count < 1000:
        return str(count)
    return f"{count / 1000:.1f}k" if count < 999_950 else f"{count / 1_000_000:.1f}M"


def _metered(event: BudgetUsed) -> str:
    parts = [f"turn {event.turns}/{event.turns_allowed}"]
    used = event.used
    if used.all_input or used.output_tokens:
        taken, given = tokens_in_words(used.all_input), tokens_in_words(used.output_tokens)
        estimated = ", estimated" if used.uncounted_replies else ""
        parts.append(f"{taken} in{_cached(used)} and {given} out{estimated}")
    if event.usd_allowed is not None:
        parts.append(f"${event.usd or 0.0:.4f} of ${event.usd_allowed:g}")
    elif event.usd:
        parts.append(f"${event.usd:.4f}")
    left_s = event.left_s
    parts.append(f"{left_s / 60:.0f} min left" if left_s >= 120 else f"{left_s:.0f} s left")
    return ", ".join(parts)


def _cached(used: Usage) -> str:
    share = used.cache_read_tokens / used.all_input if used.all_input else 0.0
    return f" ({share:.0%} cached)" if share else ""


def _shrunk(event: ResultsCleared | HistorySummarised) -> str:
    before, after = tokens_in_words(event.tokens_before), tokens_in_words(event.tokens_after)
    return f"some {before} tokens became {after}"
