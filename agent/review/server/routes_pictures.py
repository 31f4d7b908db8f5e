"""Pictures that a patch changes, before and after.

Raster only, by their own bytes and never by their name: SVG is a program, and is text here. What is
said to be a picture is a stranger's; the browser gets it as what its first bytes say, bounded.
"""

import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from agent.models.image_header import LONGEST_SIDE, image_header_of
from agent.record.store import STEPS
from agent.review.pages.patch_view import FileEntry
from agent.review.server.opened_run import OpenedRun
from agent.review.server.request import entry_of, opened
from sandbox.errors import PatchError
from sandbox.git.apply import apply_to_entries
from sandbox.git.store import NOTHING, Store

_LARGEST_BYTES = 8 << 20
_NAMES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_GIT_S = 60


def pictures(entry: FileEntry, address: str) -> tuple[tuple[str, str], ...]:
    """The words and addresses of a file's pictures; none where its name promises none."""
    change = entry.change
    if change.added_lines is not None or not change.path.lower().endswith(
        tuple(name.encode() for name in _NAMES)
    ):
        return ()
    sides = (("before", "old", change.old_blob), ("after", "new", change.new_blob))
    return tuple((words, f"{address}/{side}") for words, side, blob in sides if blob != NOTHING)


def picture(request: Request) -> Response:
    """One picture."""
    run, side = opened(request), request.path_params["side"]
    entry = entry_of(run, request.path_params["number"])
    if side not in {"old", "new"}:
        raise HTTPException(404)
    data = run.old_content(entry, _LARGEST_BYTES) if side == "old" else _new_content(run, entry)
    header = image_header_of(data) if data is not None else None
    sides = (header.width, header.height) if header is not None else (0, 0)
    if data is None or header is None or not 0 < min(sides) <= max(sides) <= LONGEST_SIDE:
        raise HTTPException(404, "This is no picture that can be shown.")
    return Response(data, media_type=header.media_type)


def _new_content(run: OpenedRun, entry: FileEntry) -> bytes | None:
    """What the patch makes of the file, checked against its id."""
    blob = entry.change.new_blob
    steps = run.run.directory / STEPS
    data = None
    if blob != NOTHING and steps.is_dir() and blob in (store := Store(steps)):
        data = store.read_bytes(blob, limit_bytes=_LARGEST_BYTES)
    elif blob != NOTHING:
        data = _applied(run, entry)
    if data is None:
        return None
    found = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    if found != blob:
        raise PatchError("the content that was kept of this file is not that of the patch")
    return data


def _applied(run: OpenedRun, entry: FileEntry) -> bytes | None:
    if isinstance(run.baseline, str):
        return None
    with tempfile.TemporaryDirectory(prefix="moonpool-picture-") as place:
        scratch = Path(place)
        store = Store(scratch / "store")
        paths = filter(None, (entry.change.path, entry.change.old_path))
        kept = {path: run.baseline.entries.get(path) for path in paths}
        old = replace(run.baseline, entries=kept).lent(store)
        file = scratch / "patch.diff"
        file.write_bytes(entry.diff.raw)
        after = apply_to_entries(store, old, file, index=scratch / "index", timeout_s=_GIT_S)
        made = after.get(entry.change.path)
        if made is None or made.size > _LARGEST_BYTES:
            return None
        return store.read_bytes(made.blob, limit_bytes=_LARGEST_BYTES)
