"""What people decided, one to a line, whatever became of the process that wrote it."""

from pathlib import Path

import pytest

from agent.errors import RecordError
from agent.record.decisions import DECISIONS, Decision, decisions, note

ONE = Decision(at="2026-01-01T00:00:00Z", by="ann", place="/src")
OTHER = Decision(at="2026-01-02T00:00:00Z", by="bob", place="/src", reason="it is fine")


def test_what_a_killed_process_tore_spoils_no_other_decision(tmp_path: Path) -> None:
    note(tmp_path, ONE)
    note(tmp_path, OTHER)
    file = tmp_path / DECISIONS
    file.write_bytes(file.read_bytes()[:-5])
    assert decisions(tmp_path) == (ONE,)
    note(tmp_path, OTHER)
    assert decisions(tmp_path) == (ONE, OTHER)


@pytest.mark.parametrize("line", [b"{", b"[" * 100_000, b"[]", b'{"by": "ann"}'])
def test_a_line_that_was_edited_is_named(tmp_path: Path, line: bytes) -> None:
    (tmp_path / DECISIONS).write_bytes(line + b"\n")
    with pytest.raises(RecordError, match="line 1 of "):
        decisions(tmp_path)
