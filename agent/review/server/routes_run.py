"""A run's overview and its patch as a file."""

from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response

from agent.review.pages.markup import Markup, tag
from agent.review.pages.overview import Overview, overview_parts
from agent.review.pages.report import last_words
from agent.review.server.opened_run import OpenedRun
from agent.review.server.request import address_in, answer, opened, part_address
from agent.untrusted_text import visible


def overview(request: Request) -> Response:
    run = opened(request)
    address = address_in(request, run)
    content = Overview(
        summary=run.run.summary,
        last_words=last_words(run.log),
        hide=run.hide,
        part_address=part_address(request, run),
        call_address=lambda number: f"{address('timeline')}#call-{number}",
        alarms=tuple(problems(run)),
    )
    return answer(request, run, "", _parts(content, run, address("patch")))


def _parts(content: Overview, run: OpenedRun, patch_address: str) -> Iterator[Markup]:
    yield from overview_parts(content)
    if not isinstance(run.patch, str):
        link = tag("a", "Save the patch as a file", href=patch_address, download="")
        yield tag("p", link, class_="soft")


def problems(run: OpenedRun) -> Iterator[str]:
    """What a reviewer must know before anything else on the page."""
    for broken in run.tampering:
        yield f"This record was changed after the run wrote it: {broken.name}: {broken.detail}"
    if run.tampering:
        return
    if isinstance(run.record, str):
        yield run.record
    elif run.record.fault:
        yield run.record.fault
    if run.run.is_running:
        return
    if isinstance(run.files, str) and run.run.summary.patch is not None:
        yield run.files


def patch(request: Request) -> Response:
    """The patch as a file to save, never to show."""
    run = opened(request)
    if isinstance(run.patch, str):
        return answer(request, run, "", [tag("p", visible(run.patch), class_="alarm")])
    name = f"{run.run.id}.diff"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(run.patch, media_type="application/octet-stream", headers=headers)
