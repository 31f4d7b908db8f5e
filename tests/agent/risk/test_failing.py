"""The gate under attack: nothing crashes it, what fails refuses, what is too much is said."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.risk import credentials
from agent.risk.executed_files import places_of
from agent.risk.finding import Finding, Severity, found, ordered, risk_by_path
from agent.risk.gate import BY_NAME, COMPARED, inspect
from agent.risk.inspected_patch import (
    CONTENT_LIMIT_BYTES,
    HunksUnreadable,
    InspectedPatch,
    sections,
    take_apart,
)
from fakes.box import TmpBox
from policies.loading import load
from policies.policy import Policy
from sandbox.patch.values import Change, ChangeKind, Patch, Side


def broken(_subject: InspectedPatch) -> Iterator[Finding]:
    yield found("binary", b"a", "before it breaks")
    raise KeyError("secret content")


@pytest.fixture
def patch() -> Iterator[Patch]:
    box = TmpBox(files={})
    box.write_file("a.py", b"one\nhttps://example.org\n")
    yield box.export(compared=COMPARED)
    box.close()


def test_an_inspection_that_fails_refuses_the_patch_and_tells_no_content(
    patch: Patch, policy: Policy
) -> None:
    policy = replace(policy, export=replace(policy.export, refuse=()))
    rows = inspect(patch, policy, inspections=(("this", broken), *BY_NAME))
    assert [(row.id, row.refuses) for row in rows] == [
        ("inspection-failed", True),
        ("binary", False),
    ]
    assert "KeyError" in rows[0].reason
    assert "secret content" not in rows[0].reason


def test_rules_that_cannot_be_loaded_refuse_the_patch(
    patch: Patch, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "_RULES", {"gone": "GoneDetector"})
    credentials._rules.cache_clear()
    try:
        assert [row.id for row in inspect(patch, policy) if row.refuses] == ["inspection-failed"]
    finally:
        credentials._rules.cache_clear()


def test_a_patch_that_does_not_fit_its_list_of_changes_is_refused(
    patch: Patch, policy: Policy
) -> None:
    for data in (
        b"",
        b"diff --git a/a.py b/a.py\n",
        patch.data + patch.data,
        patch.data.replace(b"+https://example.org\n", b""),
        patch.data.replace(b"+1,2", b"+1,3"),
        b"x" + patch.data,
    ):
        forged = replace(patch, data=data)
        assert "inspection-failed" in {row.id for row in inspect(forged, policy) if row.refuses}


def test_too_much_time_for_secrets_is_told_file_by_file(patch: Patch, policy: Policy) -> None:
    rows = list(credentials.inspect(take_apart(patch, policy), cpu_s=-1))
    assert [(row.id, row.path) for row in rows] == [("not-inspected", b"a.py")]


def test_content_past_the_bound_is_told(patch: Patch, policy: Policy) -> None:
    (change,) = patch.changes
    line = b"+" + b"x" * (CONTENT_LIMIT_BYTES - 10) + b"\n"
    hunk = b"diff --git a/a b/a\n@@ -0,0 +1 @@\n" + line
    rows = [replace(change, path=name, added_lines=1) for name in (b"a", b"b")]
    subject = take_apart(replace(patch, data=hunk * 2, changes=tuple(rows)), policy)
    assert subject.not_inspected == (b"b",)


def test_content_that_looks_like_a_patch_is_content() -> None:
    data = (
        b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,3 @@\n"
        b"-diff --git a/y b/y\n+@@ -1 +1 @@\n+diff --git a/z b/z\n context\n"
        b"\\ No newline at end of file\n"
    )
    (section,) = sections(data)
    assert bytes(section.text) == b"@@ -1 +1 @@\ndiff --git a/z b/z\n"
    assert list(section.numbers) == [1, 2]


def test_one_kind_in_many_files_is_counted_and_not_listed(policy: Policy) -> None:
    def many(_subject: InspectedPatch) -> Iterator[Finding]:
        return (found("binary", b"%d" % number, "x") for number in range(100_000))

    patch = Patch(data=b"", changes=(), base_tree="", tree="")
    rows = inspect(patch, policy, inspections=(("many", many),))
    assert len(rows) == 201
    assert "99800 more of this kind, not listed" in {row.reason for row in rows}


def row(path: bytes, severity: Severity, *, refuses: bool = False) -> Finding:
    return Finding(id="x", severity=severity, path=path, reason="r", refuses=refuses)


def test_refusals_come_first_then_severity_then_the_worst_file() -> None:
    rows = [
        row(b"a", Severity.NOTE),
        row(b"b", Severity.NOTE),
        row(b"b", Severity.DANGER),
        row(b"c", Severity.WARNING, refuses=True),
        row(b"a", Severity.WARNING),
    ]
    got = [(one.path, one.severity) for one in ordered(rows)]
    danger, warning, note = Severity.DANGER, Severity.WARNING, Severity.NOTE
    assert got == [(b"c", warning), (b"b", danger), (b"a", warning), (b"b", note), (b"a", note)]
    assert risk_by_path(rows)[b"b"] == (0, danger, 2)


CONTENT = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogateescape")),
    st.sampled_from(
        [
            b'{"scripts": 1}',
            b"[]",
            b"[build-system]\nx=1",
            b'{"dependencies": [1]}',
            b"[project]\ndependencies=1",
            b"[tool]\npoetry=1",
            b'{"scripts": {"install": [1]}}',
        ]
    ),
)
NAMES = st.one_of(
    st.binary(min_size=1, max_size=30),
    st.sampled_from(
        [
            b"package.json",
            b"pyproject.toml",
            b"Cargo.toml",
            b"composer.json",
            b"Pipfile",
            b"yarn.lock",
            b"requirements.txt",
            b"tests/test_a.py",
            b".github/workflows/x",
        ]
    ),
)


POLICY = load("default")


@settings(max_examples=150, deadline=None)
@given(path=NAMES, old=CONTENT, new=CONTENT, mode=st.integers(0, 0o177777), raw=st.booleans())
def test_no_bytes_crash_an_inspection(
    path: bytes,
    old: bytes,
    new: bytes,
    mode: int,
    raw: bool,  # noqa: FBT001
) -> None:
    lines = new.split(b"\n")
    hunk = b"".join(b"+" + line + b"\n" for line in lines)
    data = b"diff --git a/x b/x\n@@ -0,0 +1,%d @@\n%s" % (len(lines), hunk)
    change = Change(
        path=path,
        old_path=None,
        kind=ChangeKind.MODIFIED,
        old_mode=0o100644,
        new_mode=mode & 0o777 | 0o100000,
        added_lines=len(lines),
        deleted_lines=0,
        old_blob="1" * 40,
        new_blob="2" * 40,
    )
    sides = {"1" * 40: Side(start=old, size=len(old)), "2" * 40: Side(start=new, size=len(new))}
    patch = Patch(data=new if raw else data, changes=(change,), base_tree="", tree="", sides=sides)
    failed = [finding for finding in inspect(patch, POLICY) if finding.id == "inspection-failed"]
    assert not failed or (raw and "hunks" in failed[0].reason), failed


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300), path=st.binary(max_size=60))
def test_any_bytes_are_a_patch_or_none(data: bytes, path: bytes) -> None:
    list(places_of(path))
    with contextlib.suppress(HunksUnreadable):
        list(sections(data))
