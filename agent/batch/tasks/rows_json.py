"""Tasks in JSON: a row a line (JSONL), or one list of rows.

Owns reading it strictly, a key once and plain numbers only, with the line of each row and key.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from agent.batch.task import TaskOrigin
from agent.batch.tasks.complaints import Complaints
from agent.batch.tasks.row import TaskRow
from policies.file.document import KeyPath
from policies.file.fields import shown_value

_BLANK = re.compile(r"[ \t\r\n]*")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"the key {twice!r:.80} is there twice")
    return found


def _refused(constant: str) -> None:
    raise ValueError(f"{constant} is no number of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refused)


def lines(text: str, *, file: str, complaints: Complaints) -> Iterator[TaskRow]:
    """The rows of JSONL, blank lines left out."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = _DECODER.decode(line)
            except (ValueError, RecursionError) as error:
                complaints.add(f"{file}:{number}", "", f"not JSON: {_words(error)}")
                continue
            yield from _row(value, file, number, line, complaints)


def array(text: str, *, file: str, complaints: Complaints) -> Iterator[TaskRow]:
    """The rows of one JSON list."""
    at = _past_blank(text, 0)
    if not text.startswith("[", at):
        complaints.add(f"{file}:{_line(text, at)}", "", "rows of JSON stand in a list: `[`")
        return
    line, counted = _line(text, at), at
    at = _past_blank(text, at + 1)
    if text.startswith("]", at):
        return
    while True:
        line += text.count("\n", counted, at)
        counted = at
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            where = error.lineno if isinstance(error, json.JSONDecodeError) else line
            complaints.add(f"{file}:{where}", "", f"not JSON: {_words(error)}")
            return
        yield from _row(value, file, line, text[at:end], complaints)
        at = _past_blank(text, end)
        if text.startswith("]", at) and _past_blank(text, at + 1) == len(text):
            return
        if not text.startswith(",", at):
            complaints.add(
                f"{file}:{_line(text, at)}", "", "not JSON: expected `,`, or `]` and the end"
            )
            return
        at = _past_blank(text, at + 1)


def _row(value: Any, file: str, line: int, text: str, complaints: Complaints) -> Iterator[TaskRow]:
    if not isinstance(value, dict):
        shown = shown_value(value)
        complaints.add(f"{file}:{line}", "", f"expected an object with a task's keys, got {shown}")
        return
    yield TaskRow(
        data={key: item for key, item in value.items() if item is not None},
        origin=TaskOrigin(file=file, line=line),
        line_of=partial(_line_of, text, line),
    )


def _line_of(text: str, first: int, path: KeyPath) -> int:
    """The line of a key: the first place where it stands as one."""
    at = 0
    for part in path:
        key = re.compile(rf"(?<!\\){re.escape(json.dumps(part))}[ \t\r\n]*:")
        found = key.search(text, at)
        if found is None:
            break
        at = found.start()
    return first + text.count("\n", 0, at)


def _past_blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _words(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return f"{error.msg} (column {error.colno})"
        case RecursionError():
            return "it is nested too deeply"
        case _:
            return str(error)
