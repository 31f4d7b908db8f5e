"""Text that tells whoever judges the patch what to decide: a reviewer, a model, an assistant.

Owns the phrasings, and that none of them is hidden by characters that show nothing, look like
others, or by the marks of comments. It is a look at words, and so it proves nothing: what rests on
no words is that a reviewer's answer has one form and one way (`agent.review.opinion`).
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from time import process_time

from agent.risk.credentials import masked
from agent.risk.finding import Finding, Severity, found
from agent.risk.inspected_patch import InspectedPatch

_EACH_FILE = 5
_MOST_S = 10.0
"""Of processor time, for all files together."""
_EXCERPT = 80

# What shows nothing: joiners, fillers, soft hyphens, selectors, directions.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e001f\U000e007f\U000e0100-\U000e01ef]"
)
_TAG = re.compile("[\U000e0020-\U000e007e]")
_TAGS = {number: number - 0xE0000 for number in range(0xE0020, 0xE007F)}
_ALIKE = str.maketrans(
    "аеорсухіјѕһԁԛԝАВЕКМНОРСТУХЅІЈΑΒΕΖΗΙΚΜΝΟΡΤΥΧοıɡ",  # noqa: RUF001 - these are what it is about
    "aeopcyxijshdqwABEKMHOPCTYXSIJABEZHIKMNOPTYXoig",
)
_LEADER = re.compile(r"(?m)^[ \t]*(?:(?:#+!?|//+!?|/?\*+|--+|;+|<!--|%+|>+|\"\"\"|''')[ \t]*)*")

_BETWEEN_WORDS = re.compile(r"[-_./\s]+")
"""In a path."""
_GAP = r"[\s\"'`*_,.:;!()-]+"
_WHO = (
    r"(?:(?:ai|llm|automated|automatic|machine|human|code|patch|pr|security|gpt|claude|gemini|"
    r"copilot)[\s/-]+){0,3}(?:reviewers?|review[\s-]+(?:model|agent|bot|assistant)s?|"
    r"assistants?|agents?|bots?|llms?|ais?|language[\s-]+models?|models?|judges?|gatekeepers?)"
)
_THIS = (
    r"(?:this|these|the|my|our|all)\s+(?:\w+\s+){0,2}"
    r"(?:patch|patches|change|changes|changeset|diff|pull\s+request|merge\s+request|pr|mr|commit)"
)
_DECIDE = (
    r"(?:approve|accept|merge|pass|lgtm|sign\s+off|mark|rate|score|rule|overlook|ignore|skip|"
    r"disregard|(?:do\s+not|don'?t|never)\s+"
    r"(?:flag|report|reject|mention|raise|comment|review|read|look|warn)|"
    r"(?:answer|respond|reply|return|output|say|print|give|conclude)\b(?:\W+\w+){0,6}\W+"
    r"(?:approved?|lgtm|safe|no\s+(?:issues|concerns|findings|problems)))"
)
_MUST = r"(?:must|should|shall|may|can|will|have\s+to|are\s+to|is\s+to)"
_YOU = rf"(?:please\s+|you\s+{_MUST}\s+|just\s+|always\s+)"
_QUOTE = r"(?:\"|'|\\\")*"

_NO_MORE = (
    r"\b(?:ignore|disregard|forget|override|overrule|bypass|do\s+not\s+follow|stop\s+following)\s+"
    r"(?:\w+\s+){0,3}?(?:previous|prior|preceding|earlier|foregoing|above|original|your|system)\s+"
    r"(?:\w+\s+)?(?:instructions?|prompts?|directives?|guidelines|orders)\b"
)
"""What was said before is to count no more."""
_SYSTEM_PROMPT = r"\b(?:ignore|disregard|forget|override)\s+(?:\w+\s+){0,4}?system\s+prompt\b"
_ADDRESSED = (
    r"\b(?:dear|attention|attn|note\s+(?:to|for)|(?:message|instructions?|memo|notice)\s+(?:to|for)"
    rf"|hey|hello|if\s+you\s+are(?:\s+an?|\s+the)?){_GAP}(?:the\s+|all\s+|any\s+|an?\s+)?"
    rf"{_WHO}\b(?:\W+\w+){{0,25}}?\W+{_DECIDE}\b"
)
_CALLED = rf"(?:^|[\n.!?(\"'>\[][ \t]{{0,8}}){_WHO}\s*[,:]\s*{_YOU}*{_DECIDE}\b"
_ORDERED = (
    r"\b(?:ai|llm|automated)[\s-]+(?:code[\s-]+)?(?:review\w*|assistants?|agents?|models?)\s+"
    rf"{_MUST}\s+(?:\w+\s+)?{_DECIDE}\b"
)
_ASKED = (
    r"\b(?:you\s+(?:must|should|shall|have\s+to|are\s+to)\s+(?:\w+\s+)?|please\s+(?:just\s+)?)"
    rf"(?:approve|accept|lgtm|merge)\s+{_THIS}\b"
)
_DONE = (
    rf"\b{_THIS}\s+(?:has|have|is|are|was|were)\s+(?:\w+\s+){{0,2}}?(?:pre-?|already\s+)"
    r"(?:been\s+)?(?:approved|reviewed|verified|audited|cleared)\b"
)
"""It is said to be decided already."""
_VERDICT = rf"\bverdict{_QUOTE}\s*[:=]\s*{_QUOTE}approved?\b"
_ANSWER = r"\bgive_opinion\b(?:\W+\w+){0,6}\W+approve\b"

_TEXTS = (
    *(_NO_MORE, _SYSTEM_PROMPT, _ADDRESSED, _CALLED, _ORDERED, _ASKED, _DONE),
    *(_VERDICT, _ANSWER),
)
_STEMS = (
    *("instruction", "prompt", "directive", "guideline", "orders", "approv", "lgtm", "verdict"),
    *("review", "assistant", "agent", "bot", "llm", "ai", "model", "judge", "gatekeeper", "merge"),
    *("accept", "already", "verified", "audited", "cleared"),
)
"""Where none of them stands, no phrase does."""


def inspect(subject: InspectedPatch) -> Iterator[Finding]:
    until = process_time() + _MOST_S
    for change in subject.patch.changes:
        # Whoever judges the patch reads its names as well.
        name = _BETWEEN_WORDS.sub(" ", change.path.decode("utf-8", "replace"))
        for words, how in _spoken(name, until).values() if change.new_mode else ():
            yield _finding(change.path, words, how, line=None)
    for path, section in subject.added.items():
        text = section.text.decode("utf-8", "replace")
        for index, (words, how) in sorted(_spoken(text, until).items())[:_EACH_FILE]:
            yield _finding(path, words, how, line=section.numbers[index])
        if process_time() > until:
            reason = "too much text: it, and what follows, was not searched for words to a reviewer"
            yield found("not-inspected", path, reason)
            return


def _finding(path: bytes, words: str, how: str, *, line: int | None) -> Finding:
    return found(
        "prompt-injection",
        path,
        f"speaks to whoever judges the patch{how}: {masked(words)[:_EXCERPT]!r}",
        line=line,
        severity=Severity.DANGER if how else None,
    )


def _spoken(text: str, until: float) -> dict[int, tuple[str, str]]:
    """What is said in each line, and how where that is not as it reads."""
    plain, hidden = _plain(text)
    lowered = plain.lower()
    lines: dict[int, tuple[str, str]] = {}
    if not any(stem in lowered for stem in _STEMS):
        return lines
    plain = _LEADER.sub("", plain)
    for phrase in _phrases():
        if process_time() > until:
            break
        for match in _some(phrase, plain):
            blank = len(match[0]) - len(match[0].lstrip())
            index = plain.count("\n", 0, match.start() + blank)
            how = ", in characters that hide or deceive" if index in hidden else ""
            lines.setdefault(index, (" ".join(match[0].split()), how))
    return lines


@cache
def _phrases() -> tuple[re.Pattern[str], ...]:
    """Made when there is a patch: a run's start is not to wait for them."""
    return tuple(re.compile(text, re.IGNORECASE) for text in _TEXTS)


def _some(phrase: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    at = count = 0
    while count < _EACH_FILE and (match := phrase.search(text, at)):
        yield match
        count, at = count + 1, match.end()


def _plain(text: str) -> tuple[str, frozenset[int]]:
    """The text as a model would read it, line for line; and which lines are written otherwise."""
    hidden: frozenset[int] = frozenset()
    if not text.isascii():
        before = text
        if _TAG.search(text):
            text = text.translate(_TAGS)
        text = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).translate(_ALIKE)
        if text != before:
            pairs = zip(before.split("\n"), text.split("\n"), strict=False)
            hidden = frozenset(n for n, (old, new) in enumerate(pairs) if old != new)
    return text, hidden
