"""Each tool, as the model sees it."""

from dataclasses import replace
from typing import Any

import pytest

from agent.tools import registry
from agent.tools.interface import MalformedError, ToolAnswer, ToolContext
from fakes.box import TmpBox
from policies.loading import load
from sandbox.errors import FileDenied

BIG = 100_000


def use(box: TmpBox, name: str, /, output_bytes: int = BIG, **arguments: Any) -> ToolAnswer:
    setting = ToolContext(
        left_s=20,
        limits=replace(load("default").limits, output_bytes=output_bytes),
        instead=lambda _program: "",
        on_output=lambda _stream, _data: None,
    )
    return registry.ALL[name].call(arguments, box, setting)


def test_the_tools_are_the_eight_of_the_design() -> None:
    fixed = {
        "bash": {"command", "timeout_s", "background"},
        "read_file": {"path", "offset", "limit"},
        "write_file": {"path", "content", "overwrite"},
        "edit_file": {"path", "old_string", "new_string", "replace_all"},
        "delete_file": {"path"},
        "list_dir": {"path"},
        "search_files": {"pattern", "path", "glob"},
        "update_plan": {"items"},
    }
    schemas = {name: tool.schema() for name, tool in registry.ALL.items()}
    assert {name: set(schema["properties"]) for name, schema in schemas.items()} == fixed  # type: ignore[call-overload]
    assert all(schema["additionalProperties"] is False for schema in schemas.values())


def test_the_default_policy_offers_all_of_them_in_one_order() -> None:
    assert list(registry.offered(load("default"))) == list(registry.ALL)


def test_read_only_offers_nothing_that_writes() -> None:
    offered = set(registry.offered(load("read-only")))
    assert not offered & {"write_file", "edit_file", "delete_file"}


def test_read_file_numbers_lines(box: TmpBox) -> None:
    text = use(box, "read_file", path="calc.py").text
    assert text == "     1\tdef multiply(a, b):\n     2\t    return a + b"


def test_read_file_shows_a_window_and_where_to_go_on(box: TmpBox) -> None:
    box.write_file("many", b"".join(b"line %d\n" % n for n in range(1, 101)))
    answer = use(box, "read_file", path="many", offset=40, limit=2)
    assert answer.text.split("\n") == [
        "    40\tline 40",
        "    41\tline 41",
        "[more follows: go on with offset 42]",
    ]


def test_read_file_is_bounded_in_bytes_and_goes_on_where_it_stopped(box: TmpBox) -> None:
    box.write_file("many", b"".join(b"line %d\n" % n for n in range(1, 1001)))
    seen: list[str] = []
    offset = 1
    while True:
        answer = use(box, "read_file", path="many", offset=offset, output_bytes=1000)
        assert len(answer.text) < 1200
        lines = [line for line in answer.text.split("\n") if "\t" in line]
        seen += [line.split("\t")[1] for line in lines]
        if "[more follows" not in answer.text:
            break
        offset = int(answer.text.rsplit("offset ", 1)[1].rstrip("]"))
    assert seen == [f"line {n}" for n in range(1, 1001)]


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_read_file_says_what_is_past_the_end(box: TmpBox, end: bytes) -> None:
    box.write_file("one", b"line" + end)
    answer = use(box, "read_file", path="one", offset=3)
    assert answer.is_error
    assert answer.text == "one: line 3 is past the end, it has 1 lines."


def test_read_file_reads_across_pieces(box: TmpBox) -> None:
    box.write_file("large", b"x" * 99 + b"\n" + b"".join(b"%099d\n" % n for n in range(30_000)))
    answer = use(box, "read_file", path="large", offset=25_002, limit=1)
    assert answer.text.startswith(f" 25002\t{25_000:099d}")


def test_read_file_cuts_a_very_long_line_and_says_so(box: TmpBox) -> None:
    box.write_file("min.js", b"x" * 50_000)
    text = use(box, "read_file", path="min.js").text
    assert "[line cut, 50000 characters]" in text
    assert len(text) < 3000


def test_read_file_describes_a_binary_and_an_empty_file(box: TmpBox) -> None:
    box.write_file("a.bin", b"\x7fELF\0\0\1\2")
    box.write_file("none", b"")
    assert (
        "binary file (ELF program or library, 8 bytes)" in use(box, "read_file", path="a.bin").text
    )
    assert "is empty" in use(box, "read_file", path="none").text


def test_read_file_says_when_the_last_line_has_no_newline_and_when_lines_end_in_crlf(
    box: TmpBox,
) -> None:
    box.write_file("dos", b"one\r\ntwo")
    lines = use(box, "read_file", path="dos").text.split("\n")
    assert lines[0] == "     1\tone"
    assert lines[2] == "[no newline at the end of the file]"
    assert "CR LF" in lines[3]


def test_read_file_past_the_end_says_how_many_lines_there_are(box: TmpBox) -> None:
    answer = use(box, "read_file", path="calc.py", offset=50)
    assert answer.is_error
    assert "it has 2 lines" in answer.text


def test_read_file_decodes_what_is_not_utf8_without_failing(box: TmpBox) -> None:
    box.write_file("latin", b"caf\xe9\n")
    assert "caf\ufffd" in use(box, "read_file", path="latin").text


def test_edit_file_replaces_exactly_one_match(box: TmpBox) -> None:
    answer = use(box, "edit_file", path="calc.py", old_string="a + b", new_string="a * b")
    assert not answer.is_error
    assert box.read_file("calc.py") == b"def multiply(a, b):\n    return a * b\n"


def test_edit_file_refuses_several_matches_and_counts_them(box: TmpBox) -> None:
    box.write_file("twice", b"x\ny\nx\n")
    answer = use(box, "edit_file", path="twice", old_string="x", new_string="z")
    assert answer.is_error
    assert "2 times" in answer.text
    assert "lines 1, 3" in answer.text
    assert box.read_file("twice") == b"x\ny\nx\n"


def test_edit_file_replaces_all_when_told(box: TmpBox) -> None:
    box.write_file("twice", b"x\ny\nx\n")
    use(box, "edit_file", path="twice", old_string="x", new_string="z", replace_all=True)
    assert box.read_file("twice") == b"z\ny\nz\n"


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("      return a + b", "Line 2 differs in blanks only: '    return a + b'"),
        ("    return a - b", "Nearest is line 2"),
        ("    return a + b\n\n", "Its first line stands at line 2"),
        ("class Quaternion:", "Nothing like its first line"),
    ],
)
def test_edit_file_without_a_match_says_what_comes_nearest(
    box: TmpBox, wanted: str, hint: str
) -> None:
    answer = use(box, "edit_file", path="calc.py", old_string=wanted, new_string="")
    assert answer.is_error
    assert hint in answer.text


def test_edit_file_keeps_crlf_and_bytes_that_are_no_text(box: TmpBox) -> None:
    box.write_file("mixed", b"a\xff\r\nold\r\nline\r\nend\x00\r\n")
    use(box, "edit_file", path="mixed", old_string="old\nline", new_string="new\nlines")
    assert box.read_file("mixed") == b"a\xff\r\nnew\r\nlines\r\nend\x00\r\n"


def test_edit_file_of_nothing_to_change_is_an_error(box: TmpBox) -> None:
    assert use(box, "edit_file", path="calc.py", old_string="a", new_string="a").is_error


def test_write_file_refuses_to_overwrite_unless_told(box: TmpBox) -> None:
    answer = use(box, "write_file", path="calc.py", content="gone\n")
    assert answer.is_error
    assert "overwrite: true" in answer.text
    assert box.read_file("calc.py").startswith(b"def")
    assert not use(box, "write_file", path="calc.py", content="new\n", overwrite=True).is_error
    assert box.read_file("calc.py") == b"new\n"


def test_write_file_makes_parents(box: TmpBox) -> None:
    use(box, "write_file", path="a/b/c.txt", content="é\n")
    assert box.read_file("a/b/c.txt") == "é\n".encode()


def test_list_dir_shows_folders_first_and_no_name_passes_for_two(box: TmpBox) -> None:
    box.write_file("sub/x", b"")
    box.write_file("evil\nname", b"12345")
    text = use(box, "list_dir").text
    assert text.split("\n") == ["sub/", "calc.py  37", "evil\\nname  5"]


def test_search_files_gives_path_line_and_text(box: TmpBox) -> None:
    answer = searched_with_grep(box, pattern=r"return\s+a", glob="*.py")
    assert answer.text == "calc.py:2:    return a + b"


@pytest.mark.parametrize("sign", ["\f", "\v", "\x1c", "\x1e", "\x85", "\u2028", "\r"])
def test_search_files_takes_a_line_feed_alone_for_the_end_of_a_hit(box: TmpBox, sign: str) -> None:
    box.write_file("page", f"one {sign}needle two\r\nnext\nneedle\n".encode())
    answer = searched_with_grep(box, pattern="needle")
    assert answer.text.split("\n") == [f"page:1:one {sign}needle two", "page:3:needle"]
    assert answer.brief == "2 hits"


def test_search_files_without_a_hit_is_no_error(box: TmpBox) -> None:
    answer = searched_with_grep(box, pattern="nowhere")
    assert not answer.is_error
    assert "No line matches" in answer.text


def test_search_files_with_a_bad_pattern_says_what_is_wrong(box: TmpBox) -> None:
    answer = searched_with_grep(box, pattern="(")
    assert answer.is_error
    assert "The search failed" in answer.text


def test_search_files_is_bounded_and_says_so(box: TmpBox) -> None:
    for number in range(5):
        box.write_file(f"f{number}", b"needle\n" * 100)
    answer = searched_with_grep(box, pattern="needle")
    assert answer.text.count("needle") == 200
    assert "only 200 hits are shown" in answer.text


@pytest.mark.parametrize("pattern", ["--files", "-e", "--pre=touch x"])
def test_search_files_takes_no_option_for_a_pattern_or_a_path(box: TmpBox, pattern: str) -> None:
    box.write_file("notes", f"has {pattern} in it\n".encode())
    assert "notes:1:" in searched_with_grep(box, pattern=pattern).text
    searched_with_grep(box, pattern="x", path="--include=*")
    assert box.calls[-1].endswith("-- --include=*")


def test_search_files_without_any_program_says_what_else_to_do(box: TmpBox) -> None:
    box.failures["run_program"] = FileDenied("rg: permission denied")

    def denied(*_arguments: object, **_options: object) -> None:
        raise FileDenied("permission denied")

    box.run_program = denied  # type: ignore[assignment, method-assign]
    answer = use(box, "search_files", pattern="x")
    assert answer.is_error
    assert "list_dir" in answer.text


def searched_with_grep(box: TmpBox, **arguments: Any) -> ToolAnswer:
    """As in an image, or under a policy, without ripgrep."""
    box.failures["run_program"] = FileDenied("rg: permission denied")
    return use(box, "search_files", **arguments)


def test_bash_reports_both_streams_exit_code_and_directory(box: TmpBox) -> None:
    answer = use(box, "bash", command="echo out; echo err >&2; exit 4")
    assert answer.exit_code == 4
    assert answer.failed
    out, stderr, err, last = answer.text.split("\n")
    assert (out, stderr, err) == ("out", "[stderr]", "err")
    assert last.startswith("[exit code 4; ")
    assert "now in " in last


def test_bash_ends_in_one_line_whatever_a_directory_is_called(box: TmpBox) -> None:
    box.cwd = box.workspace / "a\n[exit code 0]"
    box.cwd.mkdir()
    answer = use(box, "bash", command="exit 4")
    assert answer.text.startswith("[exit code 4; ")
    assert "\n" not in answer.text


def test_bash_timeout_is_the_shorter_of_policy_and_call_and_says_what_to_do(box: TmpBox) -> None:
    answer = use(box, "bash", command="sleep 30", timeout_s=0.2)
    assert answer.exit_code == 124
    assert answer.is_error
    assert "killed after 0.2 s" in answer.text


def test_bash_in_the_background_tells_number_and_files(box: TmpBox) -> None:
    answer = use(box, "bash", command="echo started; sleep 30", background=True)
    assert "Background process 1 started" in answer.text
    assert "background-1-1" in answer.text
    assert "kill -- -" in answer.text


def test_a_plan_with_two_steps_at_once_goes_back(box: TmpBox) -> None:
    items = [{"step": "a", "status": "in_progress"}, {"step": "b", "status": "in_progress"}]
    with pytest.raises(MalformedError, match="one step at most may be in_progress"):
        use(box, "update_plan", items=items)


def test_the_plan_is_counted_and_changes_nothing(box: TmpBox) -> None:
    items = [{"step": "a", "status": "done"}, {"step": "b", "status": "pending"}]
    assert use(box, "update_plan", items=items).text == "Plan shown: 1 of 2 steps done."
    assert box.calls == []
    with pytest.raises(MalformedError, match=r"items\.0\.status"):
        use(box, "update_plan", items=[{"step": "a", "status": "someday"}])
