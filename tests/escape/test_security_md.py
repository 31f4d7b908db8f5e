"""SECURITY.md names tests; they exist."""

import re

from checkout import ROOT

_NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")


def test_every_test_that_security_md_names_exists() -> None:
    named = _NAMED.findall((ROOT / "SECURITY.md").read_text("utf-8"))
    assert len(named) >= 20
    for file, function in named:
        source = (ROOT / file).read_text("utf-8")
        assert f"def {function or 'test_'}" in source, f"{file}::{function}"


def test_every_promise_has_a_test_of_its_own() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    promises = re.findall(r"^(\d)\. \*\*(?:.|\n)*?(?=^\d\. |^#)", text, re.MULTILINE)
    assert promises == list("1234567")
    for part in re.split(r"^\d\. \*\*", text, flags=re.MULTILINE)[1:]:
        assert "tests/" in part.split("\n#")[0]


def test_every_file_of_attempts_here_is_named() -> None:
    text = (ROOT / "SECURITY.md").read_text("utf-8")
    for file in (ROOT / "tests/escape").glob("test_*.py"):
        assert file.name in text
