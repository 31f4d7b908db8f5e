"""What the routes that decide have in common: the marks, the actions that go on, who decides."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from agent.errors import RecordError, UsageError
from agent.review.decide.action import ActionBoard
from agent.review.decide.applying import Operator
from agent.review.decide.listing import RunIndex
from agent.review.decide.marks import PatchMarks
from agent.review.decide.store import MarkedPatch, MarkStore
from agent.review.server.colouring import Colouring
from agent.review.server.opened_run import OpenedRun, OpenedRuns
from agent.review.server.request import entry_of, opened
from agent.untrusted_text import visible
from sandbox.errors import SandboxError
from sandbox.patch.selection import FileDiff


class ReviewDesk:
    """Of one server."""

    def __init__(self, home: Path, operator: Operator) -> None:
        """
        Args:
            home: where the runs are: the directory that has ``runs``.
        """
        self.operator = operator
        self.runs = OpenedRuns(home)
        self.store = MarkStore(home)
        self.index = RunIndex(home, self.store)
        self.board = ActionBoard()
        self.colouring = Colouring()

    def close(self) -> None:
        """Cancel what goes on. A run that was begun by sending a patch back goes on by itself."""
        self.board.close()
        self.colouring.close()
        self.store.close()


def desk_of(request: Request) -> ReviewDesk:
    found: ReviewDesk = request.app.state.desk
    return found


class DecidedRun:
    """The run that an address names, with its patch and what is said about it."""

    def __init__(self, request: Request) -> None:
        """Raises UsageError where there is no patch to decide about."""
        self.desk = desk_of(request)
        self.opened: OpenedRun = opened(request)
        self.run = self.opened.run
        digest = self.run.summary.patch_sha256
        if isinstance(self.opened.files, str) or digest is None:
            why = self.opened.files if isinstance(self.opened.files, str) else "it has no patch"
            raise UsageError(why)
        self.of = MarkedPatch(run=self.run.id, patch=digest)

    @property
    def files(self) -> tuple[FileDiff, ...]:
        """In the order of the patch, as the pages number them from 1."""
        entries = self.opened.by_number
        return tuple(entries[number].diff for number in sorted(entries))

    @property
    def marks(self) -> PatchMarks:
        return self.desk.store.marks(self.of)

    def path(self, number: int) -> bytes:
        """Raises HTTPException for a number that no file has."""
        return entry_of(self.opened, number).diff.path


class PostedForm(BaseModel):
    """What a page of ours sends: JSON, and nothing in it that is not asked for."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PostedNothing(PostedForm):
    pass


Form = TypeVar("Form", bound=PostedForm)
Endpoint = Callable[[Request], Awaitable[Response]]


def taking(kind: type[Form]) -> Callable[[Callable[[Request, Form], Response]], Endpoint]:
    """Makes a route that takes such a form of what is done with one, which may take its time."""

    def made(do: Callable[[Request, Form], Response]) -> Endpoint:
        return partial(_taken, kind, do)

    return made


async def _taken(
    kind: type[Form], do: Callable[[Request, Form], Response], request: Request
) -> Response:
    try:
        form = kind.model_validate_json(await request.body())
    except ClientDisconnect:
        raise HTTPException(413, "The request is too long.") from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        said = "; ".join(f"{'.'.join(map(str, it['loc']))}: {it['msg']}" for it in found[:3])
        raise HTTPException(400, f"The request can't be read: {said}") from None
    try:
        return await run_in_threadpool(do, request, form)
    except (UsageError, RecordError, SandboxError) as error:
        return JSONResponse({"error": visible(str(error))}, status_code=409)
