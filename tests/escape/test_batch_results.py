"""What a batch writes is read by browsers, build servers and graders: nothing in it acts there.

How one would break it: a task's id, an outcome, a model's or a command's words that close the
markup they stand in; a run's name that makes a link lead elsewhere; a link in the batch's folder
where a file is to be written.
"""

import json
import os
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from agent.batch.attempt import AttemptResult, ErrorKind
from agent.batch.results.writing import write_all
from fakes.batches import a_row, a_task

BEGAN = datetime(2026, 11, 29, 1, tzinfo=UTC)
WRITTEN = ("results.jsonl", "preds.json", "preds.jsonl", "junit.xml", "summary.html")
CORPUS = (
    "</script><script>alert(1)</script>",
    "</td></tr></table><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x="',
    "' autofocus onfocus='alert(1)",
    "</title></style><style>*{display:none}</style><base href=//evil.example>",
    '<meta http-equiv="Content-Security-Policy" content="default-src *">',
    "<svg><use href=//evil.example#x></svg><a href=javascript:alert(1)>x</a>",
    "<!--",
    "]]><failure/><!ENTITY x SYSTEM 'file:///etc/passwd'>&x;",
    "&lt;script&gt;&#60;b&#62;",
    "\x1b[2J\x1b]8;;http://evil.example\x07x\x9b31m",
    "abc\u202egnp.exe\u2066\u200b\ufeff",
    "\x00\x08\x0b\x7f\x85\u2028\u2029\ufffe\uffff\ud800",
    "line\r\nX: y\n\n<b>",
    "{{7*7}}${7*7}<%= 7 %>",
)
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "p", "h1", "h2", "div"),
    *("span", "dl", "dt", "dd", "figure", "figcaption", "b", "svg", "path", "table", "thead"),
    *("tbody", "tr", "th", "td", "small", "a", "input", "select", "option", "button", "footer"),
    "script",
}


class PageReader(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts += data


def hostile_rows(words: str) -> list[AttemptResult]:
    said: dict[str, Any] = {
        "outcome": words,
        "detail": words,
        "worst_finding": words,
        "model": words,
        "patch": words,
        "started": words,
        "error_kind": ErrorKind.AGENT,
    }
    return [
        a_row(words, 1, **{**said, "run_id": words}),
        a_row(words, 2, **{**said, "run_id": f"../../{words}"}),
        a_row(words, 3, **{**said, "run_id": "javascript:alert(1)"}),
        a_row(words, 4, **{**said, "run_id": "20261129-010000-ab12cd34"}),
    ]


@pytest.mark.parametrize("words", CORPUS)
def test_words_of_a_task_a_model_or_a_repository_do_nothing_in_a_batchs_files(
    tmp_path: Path, words: str
) -> None:
    folder = tmp_path / words.encode("utf-8", "replace").hex()[:100]
    folder.mkdir()
    notes = write_all(folder, [a_task(words)], hostile_rows(words), began=BEGAN)
    page = (folder / "summary.html").read_text("utf-8")
    reader = PageReader(page)
    assert {tag for tag, _ in reader.tags} <= TAGS
    assert [tag for tag, _ in reader.tags].count("script") == 1
    assert [tag for tag, _ in reader.tags].count("meta") == 4
    for tag, attributes in reader.tags:
        assert not [name for name in attributes if name.startswith(("on", "xlink"))], tag
        assert not {"src", "srcset", "action", "formaction", "style"} & set(attributes), tag
        href = attributes.get("href")
        assert href is None or href == "runs/20261129-010000-ab12cd34/report.html"
    (tests,) = ET.fromstring((folder / "junit.xml").read_bytes())
    (case,) = tests
    assert {child.tag for child in case} <= {"failure", "system-err"}
    for name in WRITTEN:
        data = (folder / name).read_text("utf-8")
        assert not re.search(r"[^\n\x20-\x7e\u00a0-\ud7ff\ue000-\uffff]", data), name
        assert not re.search("[\u200b\u2028\u2029\u202e\u2066\ufeff]", data), name
    assert [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b\u2028\u202e\ufeff\ud800]", "".join(notes))


@pytest.mark.parametrize("name", WRITTEN)
def test_a_link_in_a_batchs_folder_is_replaced_and_not_followed(tmp_path: Path, name: str) -> None:
    folder, victim = tmp_path / "batch", tmp_path / "victim"
    folder.mkdir()
    victim.write_text("as it was")
    os.symlink(victim, folder / name)
    write_all(folder, [a_task()], [a_row()], began=BEGAN)
    assert victim.read_text() == "as it was"
    assert not (folder / name).is_symlink()
