"""Every kind of event there is, a line of a record as the event it was, and events in a few words:
the same on the terminal, in the log and in the report.

Those for the screen only have no line in the record; what they show is in a later event.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import assert_never

from agent.errors import RecordError
from agent.models.interface import Usage
from agent.record.events.conversation import (
    ContextShown,
    HistorySummarised,
    ModelCalled,
    ResultsCleared,
    ResultsShortened,
    TextFormChosen,
)
from agent.record.events.lifecycle import Resumed
from agent.record.events.recorded import RecordedEvent
from agent.untrusted_text import one_line
from policies.decision import Allow, Ask, Decision, Deny
from policies.errors import duration
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What is being prepared."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPiece:
    """A piece of the model's text."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ThinkingPiece:
    """A piece of the model's summary of its thinking."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDiscarded:
    """The stream broke; the pieces since the last reply are void."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputPiece:
    """Output of a running command."""

    stream: str
    """``stdout`` or ``stderr``."""
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetUsed:
    """What is used of the budget, and allowed of it, after a reply."""

    turns: int
    turns_allowed: int
    used: Usage
    usd: float | None
    usd_allowed: float | None
    left_s: float


Live = Progress | TextPiece | ThinkingPiece | TextDiscarded | OutputPiece | BudgetUsed


Recorded = RecordedEvent
Event = Live | Recorded
Emit = Callable[[Event], None]


def _kinds(made: type[RecordedEvent]) -> Iterator[type[RecordedEvent]]:
    """Those that are no base of others."""
    below = made.__subclasses__()
    if not below:
        yield made
    for one in below:
        yield from _kinds(one)


KINDS: Mapping[str, type[RecordedEvent]] = {made.event: made for made in _kinds(RecordedEvent)}
"""The models, by the name that stands in a line as ``event``."""


def decode(row: Mapping[str, object]) -> Recorded:
    """The event of one line, without what the line has beside it (``seq``, ``time``, ``prev``).

    Raises:
        RecordError: it has not the shape that we write.
    """
    kind = row.get("event")
    made = KINDS.get(kind) if isinstance(kind, str) else None
    if made is None:
        raise RecordError(f"there is no event {one_line(str(kind), 60)!r}")
    if made is ModelCalled:
        # Written until November 2026, and read by nobody.
        row = {name: row[name] for name in row if name != "system_sha256"}
    return made.read(row, str(kind))


_VERBS = {
    "read_file": "read",
    "write_file": "write",
    "edit_file": "edit",
    "delete_file": "delete",
    "list_dir": "list",
}


def call_in_words(tool: str, arguments: Mapping[str, object]) -> str:
    """Such as ``$ pytest -q`` or ``edit core.py``; what the model wrote is not yet made visible."""
    match tool:
        case "bash":
            mark = "& " if arguments.get("background") is True else ""
            return f"$ {mark}{arguments.get('command', '')}"
        case "search_files":
            where = arguments.get("glob") or arguments.get("path") or ""
            return f"search {arguments.get('pattern', '')!s} {where}".rstrip()
        case "update_plan":
            return "plan"
        case _ if tool in _VERBS:
            return f"{_VERBS[tool]} {arguments.get('path', '.')}"
        case _:
            return tool


_SERVED = {
    "web_search": "search the web",
    "web_fetch": "fetch pages from the web",
    "code_execution": "run code on its service's machines",
}


def served_in_words(tools: Sequence[str], *, could: str = "can") -> str:
    """Such as ``the model can search the web: text can leave this way``; empty for none.

    Tools that are not ours are passed over: a record that came from elsewhere may name some.
    """
    served = [words for tool, words in _SERVED.items() if tool in tools]
    if not served:
        return ""
    *most, last = served
    words = f"{', '.join(most)} and {last}" if most else last
    return f"the model {could} {words}: text can leave this way"


def shown_in_words(context: ContextShown) -> str:
    # A record that came from elsewhere may name them as it likes.
    names = [f"{one_line(file.name, 80)}{' (cut)' if file.cut else ''}" for file in context.files]
    return f"{', '.join(names)} shown to the model as untrusted context"


_TEXT_FORM = {
    "configured": "tool_form is text",
    "learned": "it wrote calls as text, and none of them ran (tool_form: text begins so)",
    "refused": "its service takes no tools (tool_form: text begins so)",
}


def form_in_words(chosen: TextFormChosen) -> str:
    return f"the model's calls are read from its text: {_TEXT_FORM[chosen.why]}"


def decision_rule(decision: Decision | None) -> str:
    """The rules a decision came from."""
    match decision:
        case Allow():
            return ", ".join(decision.rules)
        case Ask() | Deny():
            return decision.rule
        case None:
            return ""


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


def taken_up_in_words(event: Resumed) -> str:
    """Who goes on with a run, and what is not as its record would have it."""
    words = f"taken up by moonpool {one_line(event.version, 40)}, process {event.pid}"
    if event.in_doubt is not None:
        words += f"; call {event.in_doubt} was under way and may have been done or not"
    if event.cut_bytes:
        words += f"; a last line of the record was torn ({event.cut_bytes} bytes)"
    lost = event.lossy
    if lost.cut or lost.redacted:
        words += f"; texts that the model is not told whole: {lost.cut} too long, "
        words += f"{lost.redacted} with a secret"
    return words


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
    parts.append(f"{duration(left_s // 60 * 60 if left_s >= 120 else left_s)} left")
    return ", ".join(parts)


def _cached(used: Usage) -> str:
    share = used.cache_read_tokens / used.all_input if used.all_input else 0.0
    return f" ({share:.0%} cached)" if share else ""


def _shrunk(event: ResultsCleared | HistorySummarised) -> str:
    before, after = tokens_in_words(event.tokens_before), tokens_in_words(event.tokens_after)
    return f"some {before} tokens became {after}"
