"""What one command's shell hands to the next, read from what real bash prints."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.guest.shellstate import ShellState, exports

WORKSPACE = b"/workspace"


def printed_by_bash(variables: dict[bytes, bytes], locale: bytes = b"C.UTF-8") -> bytes:
    environment = {b"PATH": b"/usr/bin:/bin", b"LC_ALL": locale, **variables}
    return subprocess.run(
        ["/bin/bash", "--norc", "--noprofile", "-c", "export -p"],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout


BETWEEN = b"0022\n/workspace\n\0"
"""umask and the stack of directories, as a fresh shell prints them."""


def state(**environment: bytes) -> ShellState:
    return ShellState(WORKSPACE, {name.encode(): value for name, value in environment.items()})


def handed_over(text: bytes) -> dict[bytes, bytes]:
    found = state(BEFORE=b"1")
    found.update(b"/workspace\0" + BETWEEN + text)
    return found.environment


VALUES = st.one_of(
    st.binary(max_size=60),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(
        st.sampled_from([b'"', b"'", b"\\", b"$", b"`", b"\n", b"!", b"$'", b"\t", b"a", b"=",
                         b"\x1b", b"\x7f", b"\r", b"\xff", "é".encode(), b'declare -x Q="1"\n']),
        max_size=12,
    ).map(b"".join),
).map(lambda value: value.replace(b"\0", b""))  # fmt: skip


@given(st.lists(VALUES, min_size=1, max_size=8), st.sampled_from([b"C", b"C.UTF-8"]))
@settings(max_examples=60)
def test_any_value_is_read_as_bash_holds_it(values: list[bytes], locale: bytes) -> None:
    variables = {b"V%d" % number: value for number, value in enumerate(values)}
    found = exports(printed_by_bash(variables, locale))
    assert {name: found[name] for name in variables} == variables


def test_a_variable_exported_without_a_value_is_none() -> None:
    assert exports(b'declare -x A\ndeclare -x B="2"\n') == {b"B": b"2"}


def test_other_attributes_do_not_matter() -> None:
    assert exports(b'declare -rx A="1"\ndeclare -ix B="2"\n') == {b"A": b"1", b"B": b"2"}


@given(st.binary(max_size=120))
def test_anything_else_is_refused_with_one_of_two_errors(data: bytes) -> None:
    try:
        exports(data)
    except (ValueError, IndexError):
        return


@given(st.binary(max_size=60), st.integers(0, 60))
def test_a_cut_or_damaged_text_hurts_nobody(damage: bytes, at: int) -> None:
    text = b'declare -x A="1"\ndeclare -x B=$\'\\001x\'\ndeclare -x C="\\$"\n'
    found = state()
    found.update(b"/tmp\0" + BETWEEN + text[:at] + damage)
    assert all(b"\0" not in name + value for name, value in found.environment.items())


@pytest.mark.parametrize(
    "name",
    ["BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "PS4", "PROMPT_COMMAND", "LD_PRELOAD",
     "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH", "BASH_FUNC_git%%", "_", "__moonpool", "SHLVL"],
)  # fmt: skip
def test_what_would_run_before_the_next_command_is_not_handed_over(name: str) -> None:
    assert handed_over(b'declare -x %s="x"\ndeclare -x A="1"\n' % name.encode()) == {b"A": b"1"}


def test_an_exported_function_is_not_handed_over() -> None:
    text = printed_by_bash({b"BASH_FUNC_git%%": b"() { echo mine; }", b"A": b"1"})
    assert not any(b"git" in name or b"mine" in value for name, value in handed_over(text).items())


def test_a_name_that_no_process_can_start_with_is_not_handed_over() -> None:
    assert handed_over(b'declare -x A\0B="x"\ndeclare -x C="1"\n') == {b"C": b"1"}


def test_a_removed_variable_is_gone() -> None:
    assert b"BEFORE" not in handed_over(b'declare -x A="1"\n')


def test_text_that_is_no_list_of_variables_leaves_them_as_they_were() -> None:
    assert handed_over(b"BEFORE=2\n") == {b"BEFORE": b"1"}


def test_too_much_leaves_the_variables_as_they_were() -> None:
    assert handed_over(b'declare -x A="%s"\n' % (b"x" * (1 << 18))) == {b"BEFORE": b"1"}


@pytest.mark.parametrize("data", [b"", b"/tmp", b"/tmp without an end", b"/tmp\0one end"])
def test_without_the_mark_nothing_changes(data: bytes) -> None:
    found = state(A=b"1")
    found.update(data)
    assert (found.directory, found.environment) == (WORKSPACE, {b"A": b"1"})


@pytest.mark.parametrize("directory", [b"relative", b"", b"../x", b"/" + b"x" * 5000])
def test_a_directory_that_is_none_is_not_taken(directory: bytes) -> None:
    found = state()
    found.update(directory + b"\0" + BETWEEN + b'declare -x A="1"\n')
    assert found.directory == WORKSPACE


def test_the_directory_is_taken_also_when_the_variables_are_nonsense() -> None:
    found = state()
    found.update(b"/workspace/src\0" + BETWEEN + b"nonsense")
    assert found.directory == b"/workspace/src"


def test_what_was_printed_before_is_taken_again_where_the_directory_was_another_meanwhile() -> None:
    found, printed = state(), b"/a\0" + BETWEEN + b'declare -x A="1"\n'
    found.update(printed)
    found.directory = found.workspace  # as where it is gone when a command begins
    found.update(printed)
    assert (found.directory, found.environment[b"A"]) == (b"/a", b"1")


def test_umask_and_pushed_directories_are_handed_over() -> None:
    found = state()
    found.update(b"/a\0" + b"0077\n/a\n/b c\n/d\n\0")
    assert (found.umask, found.stack) == (0o077, [b"/b c", b"/d"])


@pytest.mark.parametrize("said", [b"", b"9", b"-1", b"u=rwx", b"00770077", b"\xb2"])
def test_an_umask_that_is_none_is_not_taken(said: bytes) -> None:
    found = state()
    found.update(b"/a\0" + said + b"\n/a\n\0")
    assert found.umask == 0o022


def test_a_stack_holds_so_many_directories_and_nothing_else() -> None:
    found = state()
    found.update(b"/a\0" + b"0022\n/a\nb\n/" + b"x" * 5000 + b"\n/c\n" * 100 + b"\0")
    assert found.stack == [b"/c"] * 32


def test_programs_are_found_on_the_path_of_the_beginning(tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "tool").touch()
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "tool").touch()
    found = state()
    found.path = [bytes(ours)]
    found.update(b"/tmp\0" + BETWEEN + b'declare -x PATH="%s"\n' % bytes(theirs))
    assert found.find(b"tool") == bytes(ours / "tool")
    assert found.find(b"./tool") == b"./tool"
    with pytest.raises(FileNotFoundError):
        found.find(b"nonesuch")


def test_no_program_of_ours_is_looked_for_where_a_command_can_have_put_one() -> None:
    own = b"/home/agent/.local/bin:/workspace/node_modules/.bin:/tmp/x:/var/tmp:/workspace"
    found = state(HOME=b"/home/agent", PATH=own + b":/workspaces/bin:/usr/bin")
    assert found.path == [b"/workspaces/bin", b"/usr/bin"]
