"""What is said of a patch: what the export gate found, and a second opinion on it.

Owns the markup. What a reviewer wrote it wrote after reading a stranger's patch: it is text, and
nothing in it acts.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import assert_never

from agent.review.pages.markup import Markup, joined, linked, tag
from agent.risk.finding import Finding, Severity
from agent.risk.opinion import (
    Concern,
    NoOpinion,
    Opinion,
    OpinionVerdict,
    SecondOpinion,
    in_words,
)
from agent.untrusted_text import one_line, path_text, visible

_KINDS = {
    OpinionVerdict.APPROVE: "good",
    OpinionVerdict.REJECT: "bad",
    OpinionVerdict.UNSURE: "",
}
_BADGES = {
    OpinionVerdict.APPROVE: "approved by a reviewer",
    OpinionVerdict.REJECT: "rejected by a reviewer",
    OpinionVerdict.UNSURE: "reviewer unsure",
}
_MODEL_WIDTH = 80

Hide = Callable[[str], str]
PartAddress = Callable[[bytes, int | None], str]


def badge(text: str, kind: str = "") -> Markup:
    return tag("span", text, class_=f"badge {kind}".rstrip())


def verified_badge(verified: bool) -> Markup:  # noqa: FBT001 - it is what is said
    return badge("verified", "good") if verified else badge("not verified", "bad")


def finding_rows(findings: Iterable[Finding]) -> list[Markup]:
    return [_row(finding) for finding in findings]


def _row(finding: Finding) -> Markup:
    if finding.refuses:
        weight = badge("refused", "bad")
    elif finding.accepted:
        weight = badge("accepted", "note" if finding.severity is Severity.NOTE else "")
    else:
        kinds = {Severity.DANGER: "bad", Severity.NOTE: "note"}
        weight = badge(finding.severity.name.lower(), kinds.get(finding.severity, ""))
    return tag(
        "tr",
        tag("td", weight, class_="n left"),
        tag("td", finding.id, class_="mono id"),
        tag("td", one_line(finding.reason)),
        tag("td", f"line {finding.line}" if finding.line else "", class_="n"),
    )


def opinion_badge(opinion: SecondOpinion | None) -> Iterator[Markup]:
    match opinion:
        case None:
            return
        case Opinion(verdict=verdict):
            yield badge(_BADGES[verdict], _KINDS[verdict])
        case NoOpinion():
            yield badge("no second opinion", "note")
        case _:
            assert_never(opinion)


def opinion_card(
    opinion: SecondOpinion | None, hide: Hide, part_address: PartAddress
) -> Iterator[Markup]:
    """What the overview says of it; nothing where none was asked for."""
    if opinion is None:
        return
    yield tag("h2", "A second opinion")
    if isinstance(opinion, NoOpinion):
        yield tag("div", tag("p", hide(in_words(opinion)), class_="words"), class_="card opinion")
        return
    who = tag("span", one_line(opinion.model, _MODEL_WIDTH), class_="mono")
    yield tag(
        "div",
        tag("p", badge(str(opinion.verdict), _KINDS[opinion.verdict]), " ", who),
        tag("p", hide(visible(opinion.reason)), class_="words"),
        _listed("Concerns", [_concern(it, hide, part_address) for it in opinion.concerns]),
        _listed("Missed of the task", [joined(hide(visible(it))) for it in opinion.missed]),
        _unshown(opinion),
        tag("p", "It decides nothing: you do.", class_="soft"),
        class_="card opinion",
    )


def _listed(title: str, items: list[Markup]) -> str:
    if not items:
        return ""
    rows = tag("ul", *(tag("li", item, class_="words") for item in items))
    return joined(tag("h3", title), rows)


def _concern(concern: Concern, hide: Hide, part_address: PartAddress) -> Markup:
    text = joined(hide(visible(concern.text)))
    if not concern.path:
        return text
    line = f":{concern.line}" if concern.line is not None else ""
    where = f"{path_text(concern.path)}{line}"
    place = linked(where, part_address(concern.path, concern.line))
    return joined(tag("span", place, class_="mono"), " ", text)


def _unshown(opinion: Opinion) -> str:
    if not opinion.unshown:
        return ""
    words = f"Of the patch it had to look up {visible(opinion.unshown)}."
    return tag("p", words, class_="soft")


def concern_box(concern: Concern) -> Markup:
    """A concern where the diff shows its place. Its text is visible already."""
    where = f", line {concern.line}" if concern.line is not None else ""
    return tag(
        "div",
        tag("p", f"second opinion{where}", class_="soft"),
        tag("p", concern.text, class_="words"),
        class_="said opinion",
    )


def concern_boxes(concerns: Iterable[Concern]) -> Markup:
    """Those of a file that none of its shown lines has."""
    boxes = joined(*map(concern_box, concerns))
    return tag("div", boxes, class_="opinions") if boxes else boxes
