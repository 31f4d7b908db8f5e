"""``junit.xml``: what a build server reads, whatever words stand in it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.batch.attempt import ErrorKind
from agent.batch.results import junit
from agent.batch.results.writing import write_all
from agent.record.outcome import NotVerified
from agent.record.store import SUMMARY, runs_directory
from agent.verification import Failed
from fakes.batches import a_row, a_summary, a_task
from sandbox.results import Ending

BEGAN = datetime(2026, 11, 29, 1, tzinfo=UTC)
HOSTILE = "]]><error/>&#0;&amp;\"'\x00\x1b[2J\r\n\u202e\ufffe\ud800\U0001f600"
"""With a half character, as a model's JSON may hold one."""
TEXTS = st.text(st.characters(exclude_categories=())) | st.just(HOSTILE)


def parsed(data: bytes) -> ET.Element:
    return ET.fromstring(data)


def suite(directory: Path) -> ET.Element:
    (only,) = parsed((directory / "junit.xml").read_bytes())
    return only


def test_failures_are_the_agents_and_errors_everybody_elses(tmp_path: Path) -> None:
    rows = [
        a_row("good", verified=True, patch_sha256=None),
        a_row(
            "limit",
            patch_sha256=None,
            outcome="limit: turns",
            error_kind=ErrorKind.AGENT,
            detail="60 turns",
        ),
        a_row(
            "bad",
            patch_sha256=None,
            outcome="not verified",
            detail="false ends with 1",
            verified=False,
            error_kind=ErrorKind.AGENT,
        ),
        a_row("engine", run_id=None, outcome="sandbox failed", error_kind=ErrorKind.ENVIRONMENT),
        a_row("busy", run_id=None, outcome="model failed", error_kind=ErrorKind.SERVICE),
        a_row("key", run_id=None, outcome="model failed", error_kind=ErrorKind.SETTING),
    ]
    tasks = [a_task(row.task_id) for row in rows]
    write_all(tmp_path, [*tasks, a_task("waiting")], rows, began=BEGAN)
    found = suite(tmp_path)
    elements = {case.get("name"): [child.tag for child in case] for case in found}
    assert elements == {
        "good": [],
        "limit": ["failure"],
        "bad": ["failure"],
        "engine": ["error"],
        "busy": ["error"],
        "key": ["error"],
        "waiting": ["skipped"],
    }
    assert found.get("timestamp") == "2026-11-29T01:00:00+00:00"
    counts = [found.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["7", "2", "3", "1"]
    limit = found.find("testcase[@name='limit']/failure")
    assert limit is not None
    assert (limit.get("type"), limit.get("message")) == ("agent", "limit: turns: 60 turns")
    bad = found.find("testcase[@name='bad']/failure")
    assert bad is not None
    assert bad.get("message") == "not verified: false ends with 1", "the outcome stands there once"


@pytest.mark.parametrize("outcome", ["interrupted", "cancelled"])
def test_what_somebody_ended_is_nobodys_failure(tmp_path: Path, outcome: str) -> None:
    write_all(tmp_path, [a_task()], [a_row(outcome=outcome, patch_sha256=None)], began=BEGAN)
    found = suite(tmp_path)
    counts = [found.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["1", "0", "0", "1"]
    skipped = found.find("testcase/skipped")
    assert skipped is not None
    assert skipped.get("message") == outcome
    assert "Failures by kind" not in (tmp_path / "summary.html").read_text("utf-8")


def test_output_of_the_verification_stands_at_its_task(tmp_path: Path) -> None:
    row = a_row(outcome="not verified", verified=False, error_kind=ErrorKind.AGENT)
    run = runs_directory(tmp_path) / str(row.run_id)
    run.mkdir(parents=True)
    output = f"1 failed <assert 1 == 2> {HOSTILE}"
    failed = Failed(command="pytest", exit_code=1, ending=Ending.EXITED, output=output, seconds=1.0)
    summary = a_summary(NotVerified(detail="")).replaced({"verification": failed})
    (run / SUMMARY).write_text(json.dumps(summary.json_object()))
    write_all(tmp_path, [a_task()], [row], began=BEGAN)
    said = suite(tmp_path).findtext("testcase/system-out")
    assert said is not None
    assert said.startswith("1 failed <assert 1 == 2> ]]><error/>&#0;&amp;")
    assert "\\x1b[2J" in said
    assert "\\u202e" in said


@pytest.mark.parametrize(
    "summary", [b"", b"[]", b"[" * 100_000, b'{"verification": {"output": 3}}']
)
def test_summary_that_can_not_be_read_leaves_the_output_out(tmp_path: Path, summary: bytes) -> None:
    run = runs_directory(tmp_path) / str(a_row().run_id)
    run.mkdir(parents=True)
    (run / SUMMARY).write_bytes(summary)
    data = b"".join(junit.pieces(tmp_path, BEGAN, [a_task()], {"t1": a_row()}, {}))
    assert parsed(data).find("testsuite/testcase/system-out") is None


@given(name=TEXTS, detail=TEXTS, outcome=TEXTS, note=TEXTS)
def test_hostile_words_make_no_element_and_nothing_illegal(
    name: str, detail: str, outcome: str, note: str
) -> None:
    row = a_row(name, run_id=None, outcome=outcome, detail=detail, error_kind=ErrorKind.AGENT)
    data = b"".join(
        junit.pieces(Path(f"/{name}"), BEGAN, [a_task(name)], {name: row}, {name: note})
    )
    (tests,) = parsed(data)
    (case,) = tests
    assert [child.tag for child in case] == ["failure", *(["system-err"] if note else [])]
    failure = case[0]
    assert failure.get("type") == "agent"
    message = failure.get("message")
    assert message is not None
    for said in (outcome, detail):
        assert junit.legal(said.replace("\n", "⏎").replace("\t", " ")) in message
    assert not set("\x00\x1b\r\x85\u202e\u2028\ufffe") & set(data.decode())


@given(TEXTS)
def test_legal_text_is_read_back_as_it_was_written(text: str) -> None:
    shown = junit.legal(text)
    assert junit.legal(shown) == shown
    if text.isascii() and text.isprintable():
        assert shown == text
