"""Programs with a directory and variables of their own, long ones, and several at the same time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from policies.loading import load
from sandbox.errors import FileError, FileMissing, FileWrongType
from sandbox.guest.protocol import FetchFiles, FileData, FileHead
from sandbox.results import CommandResult, Ending, Leftovers
from sandbox.sandbox import Sandbox
from waiting import until

STARTS = {"a": b"/workspace/a\n", ".": b"/workspace\n", "/usr/bin": b"/usr/bin\n"}
NO_STARTS = {"gone": FileMissing, "/workspace/f": FileWrongType, "": FileMissing}


def test_a_program_starts_where_it_is_told_and_the_next_one_does_not(emptied: Sandbox) -> None:
    emptied.run("mkdir a b; cd b")
    for cwd, stands in STARTS.items():
        assert emptied.run_program(["pwd"], cwd=cwd).stdout == stands
        assert emptied.run_program(["pwd"]).stdout == b"/workspace/b\n"
    emptied.write_file("/workspace/f", b"")
    for cwd, error in NO_STARTS.items():
        with pytest.raises(error, match=r"directory|name"):
            emptied.run_program(["pwd"], cwd=cwd)


def test_variables_of_a_program_are_its_own(emptied: Sandbox) -> None:
    emptied.run("export A=1 B=2")
    seen = emptied.run_program(["sh", "-c", 'echo "$A $B $C"'], env={"B": "x y", "C": "\xe9\n"})
    assert seen.stdout == b"1 x y \xc3\xa9\n\n"
    assert emptied.run_program(["sh", "-c", 'echo "$A $B $C"']).stdout == b"1 2 \n"


REFUSED = {
    "PATH": "/workspace",
    "LD_PRELOAD": "/workspace/x.so",
    "BASH_ENV": "x",
    "HOME": "/",
    "ANTHROPIC_API_KEY": "k",
    "A=B": "c",
    "": "c",
    "A": "b\0c",
    "A\n": "b",
}


def test_a_variable_that_no_policy_may_set_is_refused_and_nothing_runs(emptied: Sandbox) -> None:
    for name, value in REFUSED.items():
        with pytest.raises(FileError, match="variable"):
            emptied.run_program(["touch", "ran"], env={"FINE": "1", name: value})
    with pytest.raises(FileMissing):
        emptied.read_file("ran")


def test_a_command_line_of_two_megabytes_arrives_whole(emptied: Sandbox) -> None:
    words = [bytes([97 + at % 26]).decode() * (60 << 10) for at in range(28)]
    done = emptied.run_program(["sh", "-c", 'printf %s "$@" | sha256sum', "sh", *words])
    assert done.exit_code == 0, done.stderr
    expected = emptied.run_program(["sha256sum"], stdin="".join(words).encode()).stdout
    assert done.stdout == expected


def test_long_shell_text_and_input_arrive_whole(emptied: Sandbox) -> None:
    text = "x" * (3 << 20)
    assert emptied.run(f"A={text}; echo ${{#A}}").stdout == b"%d\n" % len(text)
    assert emptied.run_program(["wc", "-c"], stdin=text.encode()).stdout == b"%d\n" % len(text)
    assert b"stdin-" not in emptied.run("ls -A /tmp/.moonpool").stdout


def test_what_the_kernel_takes_in_no_command_line_is_an_error(emptied: Sandbox) -> None:
    with pytest.raises(FileError, match="too long"):
        emptied.run_program(["true", "x" * (1 << 20)])
    with pytest.raises(FileError, match="can't be sent"):
        emptied.run_program(["true", *["x" * (1 << 20)] * 9])
    assert emptied.run_program(["true"]).exit_code == 0


def test_programs_of_several_threads_run_at_once(emptied: Sandbox) -> None:
    """Each waits for what another one writes: one after the other, none would end well."""
    script = "echo > at-$1; until [ -e at-$2 ]; do sleep 0.01; done; echo $1 of $2"

    def wait(at: int) -> CommandResult:
        return emptied.run_program(
            ["sh", "-c", script, "sh", str(at), str((at + 1) % 6)], timeout_s=60
        )

    with ThreadPoolExecutor(6) as threads:
        results = list(threads.map(wait, range(6)))
    assert [r.stdout for r in results] == [b"%d of %d\n" % (at, (at + 1) % 6) for at in range(6)]
    assert {r.ending for r in results} == {Ending.EXITED}


def test_output_of_programs_at_once_is_each_ones_own(emptied: Sandbox) -> None:
    def say(letter: str) -> bytes:
        script = f"for i in $(seq 200); do printf {letter * 150}; done"
        return emptied.run_program(["sh", "-c", script]).stdout

    def read_and_write(letter: str) -> bytes:
        for _ in range(20):
            emptied.write_file(f"{letter}.txt", letter.encode() * 1000)
            assert emptied.read_file(f"{letter}.txt") == letter.encode() * 1000
        return letter.encode() * 30_000

    with ThreadPoolExecutor(8) as threads:
        jobs: list[Callable[[str], bytes]] = [say, read_and_write]
        asked = {
            letter: threads.submit(jobs[at % 2], letter) for at, letter in enumerate("abcdefgh")
        }
    for letter, done in asked.items():
        assert done.result() == letter.encode() * 30_000


def test_the_end_of_one_ends_no_other(emptied: Sandbox) -> None:
    """Whether it ends well, in time, or by its operator."""
    with ThreadPoolExecutor(4) as threads:
        script = "(sleep 0.1; echo still; cat) & wait; echo end"
        stands = threads.submit(emptied.run_program, ["sh", "-c", script], stdin=None, timeout_s=60)
        assert emptied.run_program(["true"]).ending is Ending.EXITED
        assert emptied.run_program(["sleep", "60"], timeout_s=0.3).ending is Ending.TIMED_OUT
        cancel = threading.Event()
        cancelled = threads.submit(emptied.run_program, ["sleep", "60"], cancel=cancel)
        cancel.set()
        assert cancelled.result().ending is Ending.CANCELLED
        assert stands.result().stdout == b"still\nend\n"


def test_cancel_ends_all_that_run(emptied: Sandbox) -> None:
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(emptied.run_program, ["sleep", "60"]) for _ in range(3)]
        until(lambda: emptied.run_program(["pgrep", "-c", "sleep"]).stdout == b"3\n")
        emptied.cancel()
        assert {done.result().ending for done in waiting} == {Ending.CANCELLED}
    assert emptied.run_program(["true"]).ending is Ending.EXITED


def test_what_is_left_running_goes_on_only_where_that_is_asked(box: Sandbox) -> None:
    daemon = ["sh", "-c", "setsid sh -c 'while :; do date +%N > beat; sleep 0.02; done' & echo $!"]
    assert box.run_program(daemon).leftovers > 0
    assert b"beat" not in box.run_program(["pgrep", "-af", "beat"]).stdout
    kept = box.run_program(daemon, leftovers=Leftovers.KEEP)
    assert kept.leftovers == 0
    # Neither another command's end nor its time-out takes it away, nor a plain command's.
    assert box.run_program(["sleep", "60"], timeout_s=0.2).ending is Ending.TIMED_OUT
    assert box.run("true").ending is Ending.EXITED
    before = until(lambda: box.run("cat beat").stdout)
    until(lambda: box.read_file("beat") not in {before, b""})


def test_a_command_that_is_ended_takes_with_it_what_it_began(box: Sandbox) -> None:
    script = "setsid sleep 4321 & (sleep 4322 &) ; sleep 4323"
    ended = box.run_program(["sh", "-c", script], timeout_s=0.5, leftovers=Leftovers.KEEP)
    assert ended.ending is Ending.TIMED_OUT
    assert box.run_program(["pgrep", "-f", "sleep 432"]).exit_code == 1


def test_what_goes_on_can_neither_fill_the_disk_nor_hold_up_its_command(
    open_box: Callable[..., Sandbox],
) -> None:
    """It prints without end into the pipe of a command that has ended, and it writes."""
    policy = load("default")
    box = open_box(replace(policy, limits=replace(policy.limits, disk_bytes=32 << 20)))
    flood = box.run_program(["sh", "-c", "yes & echo $!"], leftovers=Leftovers.KEEP, timeout_s=60)
    assert flood.ending is Ending.EXITED
    filling = "setsid sh -c 'yes > big' > /dev/null 2>&1 &"
    assert box.run_program(["sh", "-c", filling], leftovers=Leftovers.KEEP).exit_code == 0

    def seen(*argv: str) -> bytes:
        return box.run_program(argv, leftovers=Leftovers.KEEP).stdout

    def written() -> int:
        return int((seen("du", "-b", "big").split() or [b"0"])[0])

    # What the first printed is on that disk too, and counts.
    until(lambda: written() > 0 and seen("pgrep", "yes") == b"")
    assert written() <= 32 << 20


def test_a_guest_that_dies_under_several_is_started_again_once(box: Sandbox) -> None:
    def wait(_: int) -> CommandResult:
        return box.run_program(["sleep", "60"])

    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(wait, at) for at in range(3)]
        until(lambda: box.run_program(["pgrep", "-c", "sleep"]).stdout == b"3\n")
        box._session.engine.kill(box.id)
        assert {done.result().ending for done in waiting} == {Ending.LOST}
    assert box._session._restarts == 1
    assert box.run_program(["true"]).ending is Ending.EXITED


def test_what_goes_on_and_takes_all_processes_ends_with_the_next_command(
    open_box: Callable[..., Sandbox],
) -> None:
    policy = load("default")
    box = open_box(replace(policy, limits=replace(policy.limits, pids=64)))
    bomb = ["bash", "-c", ":(){ :|:& };:"]
    box.run_program(bomb, leftovers=Leftovers.KEEP, timeout_s=20)  # it may find no room itself
    until(lambda: box.run_program(["sh", "-c", "(pgrep -c bash)"]).stdout == b"0\n")
    assert box.run_program(["sh", "-c", "(echo still)"]).stdout == b"still\n"


def test_a_thread_that_takes_a_large_answer_slowly_keeps_its_sandbox_beside_one_that_waits(
    box: Sandbox,
) -> None:
    """The other one reads for both while this one is busy."""
    size = 48 << 20
    assert box.run_program(["sh", "-c", f"head -c {size} /dev/zero > large"]).exit_code == 0
    link = box._session.link
    with ThreadPoolExecutor(1) as thread:
        script = "until [ -e go ]; do sleep 0.02; done"
        waiting = thread.submit(box.run_program, ["sh", "-c", script], timeout_s=60)
        until(lambda: box.run_program(["pgrep", "-f", "until"]).exit_code == 0)
        pieces = link.stream(FetchFiles(paths=[b"large"], limit=size), FileHead, FileData)
        assert isinstance(next(pieces), FileHead)
        full = 32 << 20
        until(lambda: link.lost or max(one.bytes for one in [*link._inboxes.values()]) > full)
        assert sum(len(piece.data) for piece in pieces if isinstance(piece, FileData)) == size
        box.write_file("go", b"")
        assert waiting.result().exit_code == 0


def test_the_next_command_ends_what_one_left_that_has_met_the_limit_of_processes(
    open_box: Callable[..., Sandbox],
) -> None:
    """It told so when it ended; no process was wanted since, until the next command wants two."""
    policy = load("default")
    box = open_box(replace(policy, limits=replace(policy.limits, pids=64)))
    leaving = ["sh", "-c", "while :; do sleep 300 & done"]
    left = box.run_program(leaving, leftovers=Leftovers.KEEP)
    assert b"Cannot fork" in left.stderr
    assert box.run_program(["sh", "-c", "(echo still)"]).stdout == b"still\n"


FILLING = """
import glob, os, time
first = os.getpid()
if os.fork():
    raise SystemExit
while os.path.exists(f"/proc/{first}"):
    time.sleep(0.01)
while len(glob.glob("/proc/[0-9]*/task/*")) < 64:
    if os.fork() == 0:
        time.sleep(300)
open("full", "w").close()
time.sleep(300)
"""


def test_what_goes_on_and_holds_every_process_there_may_be_makes_room_for_a_command(
    open_box: Callable[..., Sandbox],
) -> None:
    policy = load("default")
    box = open_box(replace(policy, limits=replace(policy.limits, pids=64)))
    filling = ["python3", "-c", FILLING]
    assert box.run_program(filling, leftovers=Leftovers.KEEP).exit_code == 0
    until(lambda: b"full" in {entry.name for entry in box.list_dir().entries})
    assert box.run_program(["echo", "still"]).stdout == b"still\n"
