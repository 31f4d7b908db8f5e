"""A run with a reviewer: who is asked, and what the reviewer says."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.models.interface import Reply
from agent.models.pricing import UNKNOWN, ModelInfo
from agent.record.summary import RunResult
from agent.review.opinion.asking import Reviewer
from fakes.model import Step, ToldModel, call, say
from fakes.runs import FakeRun
from policies.policy import Policy

CHANGE = call("write_file", path="new.txt", content="made\n")


def opinion(verdict: str = "approve", **more: object) -> Reply:
    """An answer by the form."""
    given = {"verdict": verdict, "reason": "I looked.", "concerns": [], "missed": [], **more}
    return call("give_opinion", **given)


def asking(policy: Policy, *, require: bool = False) -> Policy:
    """The policy, with a reviewer."""
    rules = replace(policy.review, model="told:test", require="approve" if require else None)
    return replace(policy, review=rules)


def saying(*said: Step, facts: ModelInfo = UNKNOWN) -> Reviewer:
    return Reviewer(model=ToldModel(*said), facts=facts)


@dataclass
class ReviewedRun:
    """Set it up, `go`, look at what came of it."""

    home: Path
    policy: Policy
    require: bool = False
    steps: tuple[Step, ...] = (CHANGE, say("done"))
    """The agent's."""
    files: Mapping[str, bytes] = field(default_factory=lambda: {"calc.py": b"one\n"})
    facts: ModelInfo = UNKNOWN
    """The reviewer's."""

    def __post_init__(self) -> None:
        policy = asking(self.policy, require=self.require)
        self.fake = FakeRun(home=self.home, policy=policy, files=self.files)

    def go(self, *said: Step) -> RunResult:
        """The run, with what its reviewer says."""
        self.reviewer = ToldModel(*said)
        self.fake.reviewer = Reviewer(model=self.reviewer, facts=self.facts)
        return self.fake.go(ToldModel(*self.steps))

    @property
    def question(self) -> str:
        """What the reviewer was asked first."""
        block = self.reviewer.requests[0].messages[0].blocks[0]
        return str(getattr(block, "text", ""))
