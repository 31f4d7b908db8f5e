"""Commands in a real sandbox: results, state, time, output, leftovers."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from policies.policy import Policy
from sandbox.errors import FileDenied, FileError, FileExists, FileMissing, FileWrongType
from sandbox.results import Ending, FileType
from sandbox.sandbox import Sandbox
from waiting import until

OUTPUT_LIMIT = 64 << 10


@pytest.fixture
def box(emptied: Sandbox) -> Sandbox:
    return emptied


def test_exit_code_and_streams_are_kept_apart(box: Sandbox) -> None:
    result = box.run("echo out; echo err >&2; exit 7")
    assert (result.exit_code, result.stdout, result.stderr) == (7, b"out\n", b"err\n")
    assert result.ending is Ending.EXITED


def test_a_client_of_a_registry_soon_sees_that_there_is_no_network(box: Sandbox) -> None:
    result = box.run("pip install a-package")
    assert (result.stdout + result.stderr).count(b"Retrying") == 1
    assert box.run("printf $NPM_CONFIG_FETCH_RETRIES").stdout == b"0"


def test_a_signal_shows_as_128_plus_its_number(box: Sandbox) -> None:
    assert box.run("kill -SEGV $$").exit_code == 139


def test_directory_and_exported_variables_carry_over_and_plain_ones_do_not(box: Sandbox) -> None:
    box.run("mkdir -p deep/er; cd deep/er; export KEPT='a b\n\"c\" $d'; PLAIN=1")
    result = box.run('pwd; printf %s "$KEPT"; echo "[${PLAIN-}]"')
    assert result.stdout == b'/workspace/deep/er\na b\n"c" $d[]\n'


def test_the_way_back_the_umask_and_pushed_directories_carry_over(box: Sandbox) -> None:
    box.run("mkdir 'a b'; cd /tmp; umask 077; pushd /usr; pushd \"$OLDPWD\"/../workspace/'a b'")
    seen = box.run("touch f; stat -c %a f; dirs -l -p; popd >/dev/null; cd -; echo $# $@; umask")
    assert seen.stdout.splitlines() == [
        b"600", b"/workspace/a b", b"/usr", b"/tmp", b"/workspace/a b", b"0", b"0077",
    ]  # fmt: skip
    assert box.run("popd").stdout == b"/tmp\n"


def test_a_directory_pushed_that_is_gone_hurts_no_later_command(box: Sandbox) -> None:
    box.run("mkdir gone; pushd gone; pushd /; rmdir /workspace/gone")
    assert box.run("echo fine").stdout == b"fine\n"
    assert b"gone: No such file" in box.run("popd").stderr


def test_options_and_functions_of_one_command_are_not_the_next_ones(box: Sandbox) -> None:
    box.run("set -eu; shopt -s nullglob; f() { :; }; ulimit -n 20")
    seen = box.run('false; echo "$UNSET" *.none; type f; [ $(ulimit -n) -gt 20 ] && echo wide')
    assert seen.stdout == b" *.none\nwide\n"


def test_git_goes_on_without_an_editor(box: Sandbox) -> None:
    box.run("git init -qb main; echo 1 > a; git add a; git commit -qm one; git checkout -qb side")
    box.run("echo side > a; git commit -qam side; git checkout -q main; echo main > a")
    box.run("git commit -qam main; git checkout -q side; git rebase main; echo both > a; git add a")
    assert box.run("git rebase --continue && git commit -q --amend").exit_code == 0
    assert box.run("git rebase -i HEAD~1; git log --format=%s").stdout == b"side\nmain\none\n"
    assert b"empty commit message" in box.run("echo 2 > a; git commit -a").stderr


def test_an_unset_variable_stays_unset(box: Sandbox) -> None:
    box.run("export GONE=1")
    box.run("unset GONE")
    assert box.run('echo "${GONE-unset}"').stdout == b"unset\n"


def test_state_survives_exit_and_a_failing_command(box: Sandbox) -> None:
    box.run("cd /tmp; export X=1; exit 3")
    assert box.run('echo "$PWD$X"').stdout == b"/tmp1\n"


def test_a_removed_working_directory_falls_back_to_the_workspace(box: Sandbox) -> None:
    box.run("mkdir gone; cd gone; rmdir ../gone")
    assert box.run("pwd").stdout == b"/workspace\n"


def test_loader_variables_do_not_carry_over(box: Sandbox) -> None:
    box.run("export LD_PRELOAD=/workspace/x.so BASH_ENV=/workspace/x.sh ENV=/workspace/y")
    assert box.run('echo "${LD_PRELOAD-}${BASH_ENV-}${ENV-}"').stdout == b"\n"


def test_syntax_errors_are_results(box: Sandbox) -> None:
    result = box.run("if then")
    assert result.exit_code != 0
    assert b"syntax error" in result.stderr


def test_standard_input_small_and_large(box: Sandbox) -> None:
    assert box.run("cat", stdin=b"\x00\xff small").stdout == b"\x00\xff small"
    large = bytes(range(256)) * 8192
    result = box.run("sha256sum", stdin=large)
    assert result.stdout.split()[0].decode() == hashlib.sha256(large).hexdigest()


def test_without_input_a_command_reads_nothing(box: Sandbox) -> None:
    assert box.run("cat | wc -c").stdout.strip() == b"0"


def test_a_script_longer_than_an_argument_may_be(box: Sandbox) -> None:
    script = "echo begin\n" + "# filler\n" * 40_000 + "echo end; export LONG=1"
    assert box.run(script).stdout == b"begin\nend\n"
    assert box.run("echo $LONG").stdout == b"1\n"


def test_a_timeout_ends_the_whole_tree(box: Sandbox) -> None:
    result = box.run("(setsid sleep 1000 &) ; sleep 1000 & sleep 1000", timeout_s=0.5)
    assert (result.ending, result.exit_code) == (Ending.TIMED_OUT, 124)
    assert box.run("pgrep -c sleep").stdout == b"0\n"


def test_output_before_a_timeout_is_kept(box: Sandbox) -> None:
    result = box.run("echo early; sleep 1000", timeout_s=1.5)
    assert result.stdout == b"early\n"


def test_processes_left_behind_are_ended_and_counted(box: Sandbox) -> None:
    result = box.run("sleep 1000 & (setsid nohup sleep 1000 >/dev/null 2>&1 &); echo done")
    assert result.stdout == b"done\n"
    assert result.leftovers >= 2
    assert box.run("pgrep -c sleep").stdout == b"0\n"


def test_a_process_that_holds_the_pipes_open_does_not_hang_the_command(box: Sandbox) -> None:
    result = box.run("sleep 1000 &\necho now", timeout_s=60)
    assert (result.stdout, result.ending) == (b"now\n", Ending.EXITED)


def test_large_output_is_cut_in_the_middle_and_spilled_whole(box: Sandbox) -> None:
    result = box.run("seq 1 300000")
    whole = b"".join(b"%d\n" % number for number in range(1, 300_001))
    assert result.out.total_bytes == len(whole)
    assert len(result.out.head) + len(result.out.tail) <= OUTPUT_LIMIT
    assert whole.startswith(result.out.head)
    assert whole.endswith(result.out.tail)
    assert result.out.spill is not None
    assert b"bytes left out" in result.stdout
    assert box.read_file(result.out.spill) == whole


def test_a_gigabyte_of_output_is_survived(box: Sandbox) -> None:
    result = box.run("head -c 1000000000 /dev/zero")
    assert result.out.total_bytes == 1_000_000_000
    assert len(result.stdout) < OUTPUT_LIMIT + 400
    assert result.out.spilled_bytes == 64 << 20


def test_output_at_the_limit_is_whole(box: Sandbox) -> None:
    for size in (OUTPUT_LIMIT - 1, OUTPUT_LIMIT, OUTPUT_LIMIT + 1):
        result = box.run(f"head -c {size} /dev/zero | tr '\\0' x")
        assert result.out.cut is (size > OUTPUT_LIMIT)
        if not result.out.cut:
            assert result.stdout == b"x" * size


def test_output_is_streamed_as_it_comes(box: Sandbox) -> None:
    pieces: list[tuple[str, bytes]] = []
    box.run(
        "echo a; sleep 0.3; echo b >&2", on_output=lambda name, data: pieces.append((name, data))
    )
    assert pieces == [("stdout", b"a\n"), ("stderr", b"b\n")]


def test_of_long_output_the_last_is_streamed_too(box: Sandbox) -> None:
    pieces: list[bytes] = []
    result = box.run("seq 1 300000", on_output=lambda _, data: pieces.append(data))
    assert result.out.cut
    said = b"".join(pieces)
    assert said.startswith(b"1\n2\n")
    assert said.endswith(b"\n299999\n300000\n")
    assert len(said) <= OUTPUT_LIMIT + 1


def test_cancel_ends_the_running_command(box: Sandbox) -> None:
    result = box.run("echo started; sleep 1000", on_output=lambda *_: box.cancel())
    assert result.ending is Ending.CANCELLED
    assert box.run("echo after").stdout == b"after\n"


def test_a_background_process_lives_on_beside_commands(box: Sandbox) -> None:
    number = box.start("while sleep 0.05; do echo tick; done")
    box.run("sleep 0.5")
    status = box.poll(number)
    assert status.exit_code is None
    assert status.out.head.startswith(b"tick\n")
    assert box.run("sleep 1000", timeout_s=0.3).ending is Ending.TIMED_OUT
    assert box.poll(number).exit_code is None
    assert box.stop(number).exit_code == 137


def test_a_background_process_that_ended_tells_its_exit_code(box: Sandbox) -> None:
    number = box.start("echo bye; exit 4")
    box.run("sleep 0.3")
    status = box.poll(number)
    assert (status.exit_code, status.out.data) == (4, b"bye\n")


def test_an_unknown_background_process_is_a_clear_error(box: Sandbox) -> None:
    with pytest.raises(FileError, match="no such background process"):
        box.poll(4711)


def test_a_limit_of_more_output_than_one_message_takes_is_kept_to(
    open_box: OpenBox, default_policy: Policy
) -> None:
    keep = 4 << 20
    limits = replace(default_policy.limits, output_bytes=keep)
    box = open_box(policy=replace(default_policy, limits=limits))
    text = b"".join(b"%d\n" % number for number in range(1, 1_000_001))
    command = "seq 1000000; seq 1000000 >&2"
    number = box.start(command)
    result = box.run(command)
    assert result.ending is Ending.EXITED
    status = until(lambda: now if (now := box.poll(number)).exit_code is not None else None)
    for output in (result.out, result.err, status.out):
        assert len(output.head) + len(output.tail) == keep
        assert output.total_bytes == len(text)
        assert text.startswith(output.head)
        assert text.endswith(output.tail)


@pytest.mark.parametrize(("text", "why"), [("a\0b", "NUL"), ("a\ud800b", "surrogate")], ids=repr)
def test_what_the_kernel_takes_in_no_command_is_refused(box: Sandbox, text: str, why: str) -> None:
    with pytest.raises(FileError, match=why):
        box.run(f"echo {text}")
    with pytest.raises(FileError, match=why):
        box.start(f"echo {text}")
    with pytest.raises(FileError, match=why):
        box.run_program(["echo", text])
    with pytest.raises(FileMissing, match="no file"):
        box.read_file(text)
    with pytest.raises(FileMissing, match="no file"):
        box.write_file(text, b"")


def test_run_program_needs_no_shell(box: Sandbox) -> None:
    assert box.run_program(["printf", "%s|", "a b", "$HOME", ";"]).stdout == b"a b|$HOME|;|"


def test_files_round_trip_whatever_their_bytes(box: Sandbox) -> None:
    content = bytes(range(256)) * 5000
    box.write_file("new/folder/ä\n.bin", content)
    assert box.read_file("new/folder/ä\n.bin") == content
    assert box.read_file("new/folder/ä\n.bin", offset=256, limit=3) == b"\x00\x01\x02"
    box.write_file("new/folder/ä\n.bin", b"short")
    assert box.read_file("new/folder/ä\n.bin") == b"short"
    assert box.read_file("/workspace/new/folder/ä\n.bin", offset=99) == b""


def test_file_errors_are_told_apart(box: Sandbox) -> None:
    box.write_file("a", b"")
    box.run("mkdir d; python3 -c 'import os; os.mkfifo(\"pipe\")'; ln -s nowhere dangling")
    with pytest.raises(FileMissing):
        box.read_file("missing")
    with pytest.raises(FileWrongType):
        box.read_file("d")
    with pytest.raises(FileWrongType):
        box.read_file("pipe")
    with pytest.raises(FileExists):
        box.write_file("a", b"x", overwrite=False)
    with pytest.raises(FileWrongType):
        box.delete_file("d")
    with pytest.raises(FileDenied):
        box.write_file("/etc/new", b"x")
    with pytest.raises(FileMissing):
        box.read_file("a\0b")


def test_listing_tells_types_and_sizes(box: Sandbox) -> None:
    box.write_file("file", b"12345")
    box.run("mkdir dir; ln -s file link; python3 -c 'import os; os.mkfifo(\"pipe\")'")
    listing = box.list_dir()
    found = {entry.name: (entry.type, entry.size_bytes) for entry in listing.entries}
    assert found[b"file"] == (FileType.FILE, 5)
    assert found[b"dir"][0] is FileType.DIRECTORY
    assert found[b"link"][0] is FileType.SYMLINK
    assert found[b"pipe"][0] is FileType.OTHER
    assert not listing.cut


def test_a_huge_directory_is_listed_up_to_a_limit(box: Sandbox) -> None:
    box.run("mkdir many; cd many; seq 1 5000 | xargs touch; cd ..")
    listing = box.list_dir("many")
    assert len(listing.entries) == 2000
    assert listing.cut


def test_the_workspace_on_the_host_is_not_touched(open_box: OpenBox, workspace: Path) -> None:
    box = open_box()
    box.run("echo x > new; rm -rf .git")
    box.write_file("other", b"y")
    assert list(workspace.iterdir()) == []
