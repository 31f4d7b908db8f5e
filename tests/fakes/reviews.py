"""A server of a review's pages without a socket, and a browser that came in."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from starlette.testclient import TestClient

from agent.review.decide.applying import Operator
from agent.review.pages.report import write_reports
from agent.review.server.app import application
from agent.review.server.desk import ReviewDesk
from agent.review.server.session import ReviewSession
from fakes.model import Step, ToldModel
from fakes.runs import FakeRun


def recorded(fake: FakeRun, *steps: Step, task: str = "mend it") -> str:
    """A whole run with all that is written of it; gives its id."""
    result = fake.go(ToldModel(*steps), task)
    fake.record.write_summary(result.document.json_object())
    write_reports(fake.record, result, fake.run.journal.log)
    return fake.record.run_id


def nobody() -> Operator:
    """Who decides where nothing is decided."""

    def none(*_: object) -> NoReturn:
        raise AssertionError("no container is opened here")

    return Operator(name="ann", environ={}, bounded=none, open_recorded=none)


@dataclass
class FakeReview:
    """The pages of the runs of one home."""

    home: Path
    first: str = "nothing"
    session: ReviewSession = field(default_factory=lambda: ReviewSession(port=8000))
    operator: Operator | None = None

    def __post_init__(self) -> None:
        self.desk = ReviewDesk(self.home, self.operator or nobody())
        self.app = application(self.session, self.desk, first=self.first)

    def stranger(self) -> TestClient:
        """A browser that has not come in."""
        return TestClient(self.app, base_url=self.session.origin, follow_redirects=False)

    def browser(self) -> TestClient:
        """One that has, whose addresses begin below the base."""
        came = self.stranger()
        assert came.get(self.session.address).status_code == 200
        came.base_url = f"{self.session.origin}{self.session.base}/"
        return came


@dataclass
class ServedReview:
    """A home of runs behind a `moonpool review` of its own."""

    address: str
    """What it printed."""
    run: str

    @property
    def origin(self) -> str:
        """What all addresses begin with."""
        return self.address.partition("/enter")[0]

    def of(self, part: str = "") -> str:
        """The address of a page of the run."""
        return f"{self.origin}/run/{self.run}{part}"
