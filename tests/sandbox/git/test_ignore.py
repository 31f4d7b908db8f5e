"""The baseline's ignore rules, as git reads them, within bounds that a repository can't move."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generators.file_trees import user_git
from sandbox.git.ignore import (
    FILE_LIMIT_BYTES,
    PATTERN_LIMIT_BYTES,
    PATTERNS_LIMIT,
    WORK_LIMIT,
    IgnoreRules,
)
from sandbox.git.manifest import FILE, SYMLINK, Manifest, ManifestEntry
from sandbox.git.pattern import Glob

ENTRY = ManifestEntry(FILE, "a" * 40, 1)


def rules(
    ignore_files: dict[bytes, bytes],
    *,
    baseline: tuple[bytes, ...] = (),
    tracked: frozenset[bytes] | None = frozenset(),
    extra: tuple[str, ...] = (),
    included: tuple[str, ...] = (),
    work_limit: int = WORK_LIMIT,
) -> IgnoreRules:
    known = Manifest(
        entries=dict.fromkeys(baseline, ENTRY), tracked=tracked, rule_files=ignore_files
    )
    return IgnoreRules(known, extra, included, work_limit=work_limit)


def git_ignores(checkout: Path, ignore_files: dict[bytes, bytes], paths: set[bytes]) -> set[bytes]:
    user_git(checkout, "init", "-q", "--template=")
    (checkout / ".git/info").mkdir()
    root = os.fsencode(checkout)
    for path in paths:
        os.makedirs(os.path.dirname(root + b"/" + path), exist_ok=True)
        with open(root + b"/" + path, "ab"):
            pass
    for path, data in ignore_files.items():
        os.makedirs(os.path.dirname(root + b"/" + path), exist_ok=True)
        with open(root + b"/" + path, "wb") as out:
            out.write(data)
    # One more question, with a rule of ours: git's exit status is 1 where nothing is ignored.
    asked = b"".join(b"./" + path + b"\0" for path in paths) + b"./never there\0"
    with open(root + b"/.git/info/exclude", "ab") as out:
        out.write(b"\n/never there\n")
    answer = user_git(checkout, "check-ignore", "--no-index", "-z", "--stdin", stdin=asked)
    return {path[2:] for path in answer.split(b"\0")[:-1]} - {b"never there"}


_piece = st.sampled_from(
    [
        *(
            b"a",
            b"b",
            b"ab",
            b"c",
            b".",
            b"/",
            b"/",
            b"*",
            b"*",
            b"**",
            b"?",
            b"/**",
            b"**/",
            b"***",
        ),
        *(b"[ab]", b"[!a]", b"[^b]", b"[a-c]", b"[]a]", b"[a\\]]", b"[[:alpha:]]", b"[[:no:]]"),
        *(
            b"[c-a]",
            b"[a",
            b"[/]",
            b"[!/]",
            b"[--a]",
            b"[a-]",
            b"[[:b]",
            b"\\a",
            b"\\*",
            b"\\",
            b"\\ ",
        ),
        *(b"!", b"#", b" ", b"\t", b"\r", b"\xc3\xa9", b"\xff", b"\x0c", b"[[:space:][:digit:]]"),
    ]
)
_pattern = st.lists(_piece, max_size=6).map(b"".join)
_lines = st.builds(
    lambda mark, end, lines: mark + end.join(lines),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.sampled_from([b"\n", b"\r\n"]),
    st.lists(_pattern, max_size=6),
)
_part = st.sampled_from(
    [
        *(b"a", b"b", b"ab", b"ba", b"c", b"abc", b"a b", b"a ", b"*", b"[", b"]", b".a", b"-"),
        *(b"\\a", b"a\t", b"#a", b"!a", b" ", b"\xc3\xa9", b"\xff", b"1"),
    ]
)
_path = st.lists(_part, min_size=1, max_size=4).map(b"/".join)


@settings(max_examples=50, deadline=None)
@given(
    st.sets(_path, min_size=5, max_size=25),
    st.dictionaries(st.sampled_from([b"", b"a/", b"a/b/", b"ab/"]), _lines, max_size=3),
    _lines,
)
def test_git_check_ignore_says_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    paths: set[bytes],
    files: dict[bytes, bytes],
    exclude: bytes,
) -> None:
    # Only what can stand beside each other: a path is no folder of another, nor of an ignore file.
    folders = {b"a", b"ab", b"a/b"}
    for path in paths:
        parts = path.split(b"/")
        folders |= {b"/".join(parts[:depth]) for depth in range(1, len(parts))}
    paths = paths - folders
    ignore_files = {folder + b".gitignore": data for folder, data in files.items()}
    ignore_files[b".git/info/exclude"] = exclude
    checkout = tmp_path_factory.mktemp("checkout")
    expected = git_ignores(checkout, ignore_files, paths)
    ours = rules(ignore_files)
    assert {path for path in paths if ours.ignored(path)} == expected


def test_the_deeper_file_and_the_later_line_decide() -> None:
    ours = rules(
        {
            b".gitignore": b"*.log\n!keep.log\nbuild/\n",
            b"sub/.gitignore": b"keep.log\n!x.log\n",
            b".git/info/exclude": b"*.tmp\n!a.log\n",
        }
    )
    assert ours.ignored(b"a.log")
    assert not ours.ignored(b"keep.log")
    assert ours.ignored(b"sub/keep.log")
    assert not ours.ignored(b"sub/x.log")
    assert ours.ignored(b"sub/deep/a.tmp")
    assert ours.ignored(b"build/out/file")
    assert not ours.ignored(b"build")


def test_nothing_is_taken_back_out_of_an_ignored_directory() -> None:
    ours = rules({b".gitignore": b"out\n!out/keep\n", b"out/.gitignore": b"!*\n"})
    assert ours.ignored(b"out/keep")


def test_the_reason_names_file_line_and_pattern() -> None:
    ours = rules({b"a/.gitignore": b"# comment\n\n*.pyc\n"})
    assert ours.ignored(b"a/b/c.pyc") == "ignored by a/.gitignore:3: *.pyc"


def test_a_tracked_path_is_never_ignored() -> None:
    ignore = {b".gitignore": b"*\n"}
    ours = rules(ignore, baseline=(b"d/kept", b"d/local"), tracked=frozenset({b"d/kept", b"gone"}))
    assert not ours.ignored(b"d/kept")
    assert not ours.ignored(b"gone")
    assert ours.ignored(b"d/local")
    assert ours.ignored(b"d/new")


def test_without_an_index_what_stood_in_the_baseline_is_ignored_like_what_is_new() -> None:
    """Nothing of it is in a clean clone."""
    ours = rules({b".gitignore": b"d/\n"}, baseline=(b"d/old", b"a"), tracked=None)
    assert ours.ignored(b"d/old")
    assert ours.ignored(b"d/new")
    assert not ours.ignored(b"a")


def test_what_the_policy_includes_is_ignored_by_no_rule() -> None:
    ours = rules(
        {b".gitignore": b"*.log\nout/\n"},
        baseline=(b"old.log",),
        extra=("*.pyc",),
        included=("old.log", "/out/", "!out/private", "*.pyc"),
    )
    assert not ours.ignored(b"old.log")
    assert not ours.ignored(b"sub/old.log")
    assert not ours.ignored(b"out/a/b")
    assert not ours.ignored(b"new.pyc")
    assert ours.ignored(b"new.log")
    assert ours.ignored(b"sub/out/a")


def test_the_operators_patterns_concern_new_paths_and_come_last() -> None:
    ours = rules(
        {b".gitignore": b"!wanted.pyc\n"},
        baseline=(b"__pycache__/old.pyc",),
        extra=("*.pyc", "__pycache__/"),
    )
    assert ours.ignored(b"new.pyc") == "ignored by the policy's export.ignore: *.pyc"
    assert not ours.ignored(b"wanted.pyc")
    assert ours.ignored(b"__pycache__/new.txt")
    assert not ours.ignored(b"__pycache__/old.pyc")


def test_rules_written_by_the_agent_count_for_nothing() -> None:
    ours = rules({}, baseline=(b"a",))
    assert not ours.ignored(b".gitignore")
    assert not ours.ignored(b"hidden by the new file")


def test_an_ignore_file_that_is_a_link_is_not_read() -> None:
    known = Manifest(
        entries={b".gitignore": ManifestEntry(SYMLINK, "a" * 40, 1)},
        tracked=frozenset(),
        rule_files={b".gitignore": b"*\n"},
    )
    assert not IgnoreRules(known).ignored(b"x")


class TestHostileRules:
    """At worst an ignored file is in the patch, and a note says why."""

    @pytest.mark.parametrize(
        "pattern",
        [b"*a" * 300 + b"b", b"**/a/" * 150 + b"b", b"[!b]*" * 200, b"?*" * 400, b"**/*" * 200],
    )
    def test_a_pattern_made_to_backtrack_is_matched_in_a_moment(self, pattern: bytes) -> None:
        """With backtracking each of these takes longer than the sun will shine."""
        ours = rules({b".gitignore": pattern + b"\n"})
        ours.ignored(b"a" * 250)
        ours.ignored(b"a/" * 150 + b"a")
        assert ours.notes == ()

    def test_work_has_a_limit_and_the_report_says_so(self) -> None:
        lines = b"".join(b"*%d*x*y*z\n" % (number % 2) for number in range(100))
        ours = rules({b".gitignore": lines + b"*.o\n"}, work_limit=100_000)
        assert ours.ignored(b"first.o")
        assert not any(ours.ignored(b"%0200d" % number) for number in range(100))
        assert not ours.ignored(b"last.o")
        assert len(ours.notes) == 1
        assert "too long to match" in ours.notes[0]

    def test_too_many_patterns_are_not_applied(self) -> None:
        ours = rules({b".gitignore": b"x\n" * (PATTERNS_LIMIT + 1), b"a/.gitignore": b"x\n"})
        assert not ours.ignored(b"x")
        assert ours.ignored(b"a/x")
        assert "too many patterns" in ours.notes[0]

    def test_a_gigantic_file_is_not_applied(self) -> None:
        ours = rules({b".gitignore": b"*\n" + b"#" * FILE_LIMIT_BYTES})
        assert not ours.ignored(b"x")
        assert "larger than" in ours.notes[0]

    def test_a_gigantic_pattern_is_not_applied(self) -> None:
        ours = rules({b".gitignore": b"*" * (PATTERN_LIMIT_BYTES + 1) + b"\n*.o\n"})
        assert not ours.ignored(b"x")
        assert ours.ignored(b"x.o")
        assert ".gitignore:1" in ours.notes[0]

    @pytest.mark.parametrize("pattern", [b"[", b"[a", b"[[:nope:]]", b"a\\", b"[\\", b"[a-\\"])
    def test_a_pattern_that_is_none_matches_nothing(self, pattern: bytes) -> None:
        ours = rules({b".gitignore": pattern + b"\n"})
        assert not any(ours.ignored(path) for path in (pattern, b"a", b"[", b"x"))


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_no_pattern_raises(pattern: bytes, text: bytes) -> None:
    matched, work = Glob(pattern).matches(text)
    assert not matched or pattern or not text
    assert 0 < work <= 1 + len(text)
