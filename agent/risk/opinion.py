"""What a second opinion is, as values, and what the export gate makes of it.

Owns what counts as approved: an opinion that says so, and nothing else. Refuses to know how one is
had (`agent.review.opinion.asking`). Every text in it is a model's, which read a stranger's
patch: it is not yet made visible.
"""

from enum import StrEnum
from typing import assert_never

from agent.risk.finding import NOT_APPROVED, Finding, Severity, found
from agent.untrusted_text import one_line
from policies.frozen import dataclass

_MODEL_WIDTH = 60
_REASON_WIDTH = 200


class OpinionVerdict(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """One thing that the reviewer would have mended."""

    path: bytes
    """A file of the result or of the patch, which was looked up; empty: the patch as a whole."""
    line: int | None
    """In the new file, from 1: there is such a line. None: the file as a whole."""
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    model: str
    """Who was asked."""
    verdict: OpinionVerdict
    reason: str
    concerns: tuple[Concern, ...]
    missed: tuple[str, ...]
    """What the task asks for and the patch does not do."""
    unshown: str
    """What of the patch stood in no question and had to be looked up; empty: all of it stood there.
    """
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoOpinion:
    """One was wanted, and there is none."""

    model: str
    """Who was to be asked."""
    reason: str
    cause: str = ""
    """The name of the class of the error of a service or the sandbox; empty where none kept it."""


SecondOpinion = Opinion | NoOpinion


def in_words(opinion: SecondOpinion) -> str:
    """One line for a person."""
    model = one_line(opinion.model, _MODEL_WIDTH)
    match opinion:
        case Opinion():
            return f"second opinion of {model}: {opinion.verdict}"
        case NoOpinion():
            return f"no second opinion of {model}: {one_line(opinion.reason, _REASON_WIDTH)}"
        case _:
            assert_never(opinion)


def finding_of(
    opinion: SecondOpinion, *, required: bool, accepted: frozenset[str]
) -> Finding | None:
    """What the gate has to say of a patch with this opinion; None where it was approved.

    Args:
        required: without approval the patch is not exported.
        accepted: ids of findings that the operator lets pass.
    """
    match opinion:
        case Opinion(verdict=OpinionVerdict.APPROVE):
            return None
        case Opinion(verdict=OpinionVerdict.REJECT):
            severity = Severity.DANGER
        case Opinion():
            severity = Severity.WARNING
        case NoOpinion():
            severity = Severity.WARNING if required else Severity.NOTE
        case _:
            assert_never(opinion)
    may_pass = NOT_APPROVED in accepted
    return found(
        NOT_APPROVED,
        b"",
        # Not the reviewer's words: they may quote a secret of the patch.
        in_words(opinion),
        severity=severity,
        refuses=required and not may_pass,
        accepted=required and may_pass,
    )
