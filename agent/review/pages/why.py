"""Why a line is there: the call that wrote it, what the agent said before, what the call gave.

Owns the words and the markup, from a run's events and what was traced of its patch
(`agent.past_runs.blame` makes it; its values come here as plain numbers). A line that nobody was
seen to write has no writer here: that is said.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from agent.models.interface import words_of
from agent.record.events.conversation import CallEnded, CallRefused, CallStarted, ModelReplied
from agent.record.events.kinds import Event, call_in_words
from agent.review.pages.markup import Markup, linked, rendered, tag
from agent.review.pages.steps import shortened_result
from agent.untrusted_text import one_line, visible
from policies.frozen import dataclass

_OUTPUT_CHARACTERS = 8_000
_CALLS = 12
"""Most calls that are shown for one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStory:
    """A call with what stands around it. Texts are as they are: not yet visible."""

    number: int
    title: str
    said: str
    """What the agent said before it."""
    arguments: Mapping[str, object]
    brief: str = ""
    output: str = ""


def call_stories(log: Iterable[Event]) -> dict[int, CallStory]:
    """Every call of a run, by its number."""
    found: dict[int, CallStory] = {}
    said = ""
    for event in log:
        match event:
            case ModelReplied():
                said = words_of(event.reply)
            case CallStarted() | CallRefused():
                found[event.number] = CallStory(
                    number=event.number,
                    title=call_in_words(event.tool, event.arguments),
                    said=said,
                    arguments=event.arguments,
                    brief=event.why if isinstance(event, CallRefused) else "",
                    output=event.text if isinstance(event, CallRefused) else "",
                )
            case CallEnded() if event.number in found:
                begun = found[event.number]
                found[event.number] = replace(begun, brief=event.brief, output=event.text)
            case _:
                pass
    return found


def why_line(
    words: str,
    calls: Sequence[CallStory],
    *,
    hide: Callable[[str], str],
    call_address: Callable[[int], str],
) -> Markup:
    """The answer for one line.

    Args:
        words: what is known, in one sentence.
        calls: those that may have written it; the last one first.
    """
    shown = [call_card(story, hide=hide, address=call_address(story.number)) for story in calls]
    more = len(shown) - _CALLS
    return tag(
        "div",
        tag("p", words, class_="soft"),
        *shown[:_CALLS],
        tag("p", f"and {more} calls before", class_="soft") if more > 0 else "",
        class_="why",
    )


def call_card(story: CallStory, *, hide: Callable[[str], str], address: str = "") -> Markup:
    """A call: said, called, given."""
    title = f"call {story.number}: {one_line(hide(story.title), 300)}"
    return tag(
        "section",
        rendered(hide(story.said)) if story.said.strip() else "",
        tag("p", linked(title, address), class_="mono"),
        *_arguments(story, hide),
        _folded(f"what it gave: {one_line(story.brief, 100)}", hide, story.output),
        class_="call",
    )


def _arguments(story: CallStory, hide: Callable[[str], str]) -> Iterator[Markup]:
    """What the title has not the room for: long commands, and content that is written."""
    for name, value in story.arguments.items():
        if isinstance(value, str) and ("\n" in value or len(value) > 200):
            yield _folded(one_line(name, 60), hide, value)


def _folded(words: str, hide: Callable[[str], str], text: str) -> Markup:
    if not text.strip():
        return Markup("")
    shown = shortened_result(hide(text), _OUTPUT_CHARACTERS)
    return tag("details", tag("summary", words), tag("pre", shown, tabindex="0"))


def call_page(
    story: CallStory, written: Sequence[tuple[str, str]], note: str, *, hide: Callable[[str], str]
) -> Iterator[Markup]:
    """A call and the lines of the patch that it wrote.

    Args:
        written: each piece of a file in words, and the address that shows it.
        note: what is not known of them; may be empty.
    """
    yield tag("h1", f"Call {story.number}")
    yield tag("div", call_card(story, hide=hide), class_="card")
    yield tag("h2", "The lines of the patch that it wrote")
    if note:
        yield tag("p", visible(note), class_="soft")
    rows = [tag("li", tag("a", words, href=address)) for words, address in written]
    nothing = "None: what it wrote, if anything, is not in the patch or was written again later."
    yield tag("div", tag("ul", *rows) if rows else nothing, class_="card mono")
