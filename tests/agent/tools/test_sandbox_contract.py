"""What a run needs of a box, held against the fake and against the real sandbox alike."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.tools import registry
from agent.tools.interface import ToolContext
from agent.tools.sandbox_protocol import SandboxProtocol
from fakes.box import TmpBox
from policies.loading import load
from sandbox.errors import FileError, FileExists, FileMissing, FileWrongType, NotKept
from sandbox.results import Ending
from waiting import until

FILES = {"calc.py": b"def multiply(a, b):\n    return a + b\n", "data/raw": b"\x00\xff\r\n"}

OpenReal = Callable[..., SandboxProtocol]


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.engine)])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SandboxProtocol]:
    if request.param == "fake":
        made = TmpBox(files=FILES)
        yield made
        made.close()
        return
    workspace: Path = request.getfixturevalue("workspace")
    for name, data in FILES.items():
        path = workspace / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    open_real: OpenReal = request.getfixturevalue("open_box")
    yield open_real()


def test_a_command_gives_streams_exit_code_and_ending(box: SandboxProtocol) -> None:
    result = box.run("echo out; echo err >&2; exit 3")
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")
    assert (result.exit_code, result.ending) == (3, Ending.EXITED)


def test_a_command_past_its_time_is_ended(box: SandboxProtocol) -> None:
    result = box.run("sleep 30", timeout_s=0.3)
    assert (result.exit_code, result.ending) == (124, Ending.TIMED_OUT)


def test_output_comes_as_it_is_printed(box: SandboxProtocol) -> None:
    seen: list[tuple[str, bytes]] = []
    box.run("echo out; echo err >&2", on_output=lambda stream, data: seen.append((stream, data)))
    joined = {name: b"".join(data for stream, data in seen if stream == name) for name, _ in seen}
    assert joined == {"stdout": b"out\n", "stderr": b"err\n"}


def test_files_are_bytes_and_paths_are_relative_to_the_workspace(box: SandboxProtocol) -> None:
    assert box.read_file("data/raw") == b"\x00\xff\r\n"
    assert box.read_file("data/raw", offset=1, limit=2) == b"\xff\r"
    box.write_file("new/deep/file", b"\xfe")
    assert box.read_file("new/deep/file") == b"\xfe"
    box.delete_file("new/deep/file")
    with pytest.raises(FileMissing):
        box.read_file("new/deep/file")


def test_wrong_uses_of_files_are_errors_of_files(box: SandboxProtocol) -> None:
    with pytest.raises(FileMissing):
        box.delete_file("nowhere")
    with pytest.raises(FileExists):
        box.write_file("calc.py", b"", overwrite=False)
    with pytest.raises(FileWrongType):
        box.read_file("data")
    with pytest.raises(FileError):
        box.list_dir("calc.py")


def test_a_directory_is_listed(box: SandboxProtocol) -> None:
    assert [entry.name for entry in box.list_dir(".").entries] == [b"calc.py", b"data"]


def test_the_patch_goes_from_here_to_a_fresh_box(box: SandboxProtocol) -> None:
    box.write_file("calc.py", b"def multiply(a, b):\n    return a * b\n")
    box.write_file("added", b"new\n")
    box.delete_file("data/raw")
    patch = box.export()
    assert [change.path for change in patch.changes] == [b"added", b"calc.py", b"data/raw"]
    fresh = box.fresh()
    try:
        assert fresh.read_file("calc.py") == FILES["calc.py"]
        fresh.apply(patch)
        assert b"a * b" in fresh.read_file("calc.py")
        assert fresh.read_file("added") == b"new\n"
        with pytest.raises(FileMissing):
            fresh.read_file("data/raw")
    finally:
        fresh.close()


def test_a_background_process_is_started_looked_at_and_ended_by_the_tools(
    box: SandboxProtocol,
) -> None:
    def use(name: str, **arguments: object) -> str:
        setting = ToolContext(
            left_s=20,
            limits=load("default").limits,
            instead=lambda _program: "",
            on_output=lambda _stream, _data: None,
        )
        return registry.ALL[name].call(arguments, box, setting).text

    told = use("bash", command="echo serving; sleep 60 & wait", background=True)
    number = int(told.partition("process ")[2].split()[0])
    output = told.partition("output goes to ")[2].split()[0]
    ending = told.partition("kill -- ")[2].split()[0]
    until(lambda: "serving" in use("read_file", path=output))
    assert box.poll(number).exit_code is None
    use("bash", command=f"kill -- {ending}")
    until(lambda: box.poll(number).exit_code is not None)


def test_searching_finds_lines_with_whatever_program_there_is(box: SandboxProtocol) -> None:
    setting = ToolContext(
        left_s=20,
        limits=load("default").limits,
        instead=lambda _program: "",
        on_output=lambda _stream, _data: None,
    )
    answer = registry.ALL["search_files"].call({"pattern": r"return\s+a"}, box, setting)
    assert answer.text == "calc.py:2:    return a + b"


def test_a_checkpoint_tells_what_changed_since_the_last(
    box: SandboxProtocol, tmp_path: Path
) -> None:
    store = tmp_path / "steps"
    assert box.checkpoint(store).changed == {}
    box.run("echo x > new; rm data/raw")
    step = box.checkpoint(store)
    assert {path: entry and entry.size for path, entry in step.changed.items()} == {
        b"new": 2,
        b"data/raw": None,
    }
    assert box.checkpoint(store).changed == {}


def test_a_restore_gives_back_what_stood_at_the_mark_and_removes_what_came_since(
    box: SandboxProtocol, tmp_path: Path
) -> None:
    store = tmp_path / "steps"
    box.run("echo 1 > new; chmod +x new; ln -s new link; rm data/raw")
    mark = box.mark(store)
    box.run("echo 2 > new; chmod -x new; rm link; mkdir -p made/deep link; echo x > made/deep/x")
    box.run("rm calc.py; echo back > data/raw; cd made")
    restored = box.restore(mark)
    assert restored.back == (b"calc.py", b"link", b"new")
    assert restored.removed == (b"data/raw", b"made/deep/x")
    assert restored.differing == ()
    assert box.read_file("calc.py") == FILES["calc.py"]
    found = box.run("pwd -P | tail -c10; test -x new && cat link; ls -d made data/raw").stdout
    assert found == b"workspace\n1\n"
    assert box.mark(store).changed == mark.changed


def test_a_step_tells_nothing_of_a_restore(box: SandboxProtocol, tmp_path: Path) -> None:
    store = tmp_path / "steps"
    mark = box.mark(store)
    box.run("echo x > new; rm calc.py")
    box.checkpoint(store)
    box.restore(mark)
    assert box.checkpoint(store).changed == {}
    box.run("echo y > later")
    assert set(box.checkpoint(store).changed) == {b"later"}


def test_what_runs_is_ended_by_a_restore(box: SandboxProtocol, tmp_path: Path) -> None:
    mark = box.mark(tmp_path / "steps")
    number = box.start("while :; do echo x >> log; sleep 0.01; done")
    until(lambda: any(entry.name == b"log" for entry in box.list_dir(".").entries))
    restored = box.restore(mark)
    assert restored.removed == (b"log",)
    assert restored.ended >= 1
    assert box.poll(number).exit_code is not None


def test_a_mark_that_tells_nothing_is_not_gone_back_to(
    box: SandboxProtocol, tmp_path: Path
) -> None:
    (tmp_path / "steps").write_text("in the way")
    mark = box.mark(tmp_path / "steps")
    assert "git store" in str(mark.unkept)
    box.run("echo x > new")
    with pytest.raises(NotKept):
        box.restore(mark)
    assert box.read_file("new") == b"x\n"


def test_a_preview_is_the_patch_of_now_and_ends_nothing(box: SandboxProtocol) -> None:
    running = box.start("sleep 60")
    box.write_file("new", b"new\n")
    assert b"+new" in box.preview().data
    assert box.poll(running).exit_code is None
    box.write_file("new", b"newer\n")
    assert b"+newer" in box.preview().data
    assert box.poll(running).exit_code is None
    assert b"+newer" in box.export().data


def test_what_was_broken_off_is_roused_once(box: SandboxProtocol) -> None:
    assert box.rouse() is False
    box.break_off()
    assert box.rouse() is True
    assert box.rouse() is False
    assert box.run("echo there").stdout == b"there\n"


def test_a_cancel_that_came_too_late_does_not_end_the_command_after_a_rouse(
    box: SandboxProtocol,
) -> None:
    box.cancel()
    box.rouse()
    assert box.run("echo there").stdout == b"there\n"
