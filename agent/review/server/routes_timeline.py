"""What happened in a run, and what happens while it goes on."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from agent.errors import RecordError
from agent.record.events.kinds import Recorded, decode
from agent.record.store import EVENTS, HEAD, is_held
from agent.review.pages.markup import Markup, tag
from agent.review.pages.overview import alarms, header
from agent.review.pages.steps import StepRows
from agent.review.server.opened_run import OpenedRun
from agent.review.server.request import address_in, answer, opened
from agent.review.server.routes_run import problems
from agent.risk.credentials import hidden
from agent.untrusted_text import visible

_RESULT_CHARACTERS = 16_000
_LOOK_S = 0.4
_LINE_BYTES = 64 << 20
_FILTERS = (
    ("all", "everything"),
    ("calls", "calls"),
    ("failed", "failed"),
    ("denied", "denied"),
    ("kernel", "refused by the kernel"),
    ("said", "said"),
)


def timeline(request: Request) -> Response:
    run = opened(request)
    return answer(request, run, "timeline", _parts(request, run))


def _parts(request: Request, run: OpenedRun) -> Iterator[Markup]:
    summary = run.run.summary
    address = address_in(request, run)
    yield from alarms(summary, tuple(problems(run)))
    yield header(summary, run.hide)
    buttons = [
        tag(
            "button",
            words,
            type="button",
            data_filter=name,
            aria_pressed="true" if name == "all" else "false",
        )
        for name, words in _FILTERS
    ]
    yield tag("div", *buttons, class_="bar filters", role="group", aria_label="Show")
    rows = StepRows(run.hide, most=_RESULT_CHARACTERS, call_address=partial(address, "call"))
    live = address("events") if run.run.is_running else ""
    # Nothing is known to be harmless yet, and to hide what is not takes long: the page stands, and
    # the rows follow one by one.
    items = (row for event in run.log for row in rows.of(event)) if not live else ()
    yield tag("ol", *items, class_="timeline", id="timeline", data_live=live)
    if live:
        yield tag("p", "The run goes on: what it does appears here.", class_="soft", id="live")


async def events(request: Request) -> Response:
    """The rows of a run that goes on, as server-sent events."""
    run = opened(request)
    last = request.headers.get("last-event-id", "")
    after = int(last) if last.isdecimal() else 0
    address = partial(address_in(request, run), "call")
    stream = _stream(run.run.directory, after, address)
    return StreamingResponse(stream, media_type="text/event-stream")


async def _stream(directory: Path, after: int, address: partial[str]) -> AsyncIterator[bytes]:
    rows = StepRows(hidden, most=_RESULT_CHARACTERS, call_address=address)
    number = 0
    with (directory / EVENTS).open("rb") as file:
        while True:
            held = is_held(directory)
            found = await asyncio.to_thread(_whole_lines, file)
            for line in found:
                number += 1
                try:
                    event = _event(line)
                except (ValueError, RecordError) as error:
                    yield _message("fault", visible(str(error)), number)
                    return
                if number <= after:
                    rows.pass_by(event)
                elif html := await asyncio.to_thread(_html, rows, event):
                    yield _message("rows", html, number)
            if not held and not found:
                yield _message("over", "the run has ended", number)
                return
            if not found:
                yield b": still there\n\n"
                await asyncio.sleep(_LOOK_S)


def _html(rows: StepRows, event: Recorded) -> str:
    return "".join(rows.of(event))


def _whole_lines(file: BinaryIO) -> list[bytes]:
    """The lines that were added; what has no end yet is left for the next look."""
    start = file.tell()
    data = file.read(_LINE_BYTES)
    end = data.rfind(b"\n") + 1
    file.seek(start + end)
    return data[:end].splitlines()


def _event(line: bytes) -> Recorded:
    row = json.loads(line)
    return decode({key: row[key] for key in row if key not in HEAD})


def _message(event: str, text: str, number: int) -> bytes:
    data = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"id: {number}\nevent: {event}\n{data}\n".encode("utf-8", "replace")
