"""The guest and what it leaves lying about: planted traps, exhaustion, revival, and an export."""

from dataclasses import replace

import pytest

from conftest import OpenBox
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.errors import FileError
from sandbox.results import Ending
from sandbox.sandbox import Sandbox
from waiting import until

LONG = "echo begin\n" + "# filler\n" * 20_000 + "echo end"
PLANT = r"""
import os, sys
scratch, kind = "/tmp/.moonpool", sys.argv[1]
open("/workspace/victim", "w").write("precious\n")
for number in range(1, 60):
    names = [f"{what}-{number}-{stream}" for what in ("out", "background") for stream in (1, 2)]
    for name in [*names, f"script-{number}", f"stdin-{number}", "clock"]:
        path = f"{scratch}/{name}"
        if os.path.lexists(path): os.path.isdir(path) or os.unlink(path)
        if os.path.lexists(path): continue
        if kind == "fifo": os.mkfifo(path)
        elif kind == "directory": os.mkdir(path)
        elif kind == "link": os.symlink("/workspace/victim", path)
        elif kind == "hard link": os.link("/workspace/victim", path)
        elif kind == "loop": os.symlink(path, path)
"""

SWALLOW = b"""
import os, time
while True:
    try:
        if not os.fork():
            time.sleep(1000)
    except OSError:
        time.sleep(0.001)
"""


def limited(policy: Policy, **limits: float) -> Policy:
    return replace(policy, limits=replace(policy.limits, **limits))  # type: ignore[arg-type]


def alive(box: Sandbox) -> None:
    assert box.run("echo $((6*7))").stdout == b"42\n"


@pytest.mark.parametrize("kind", ["fifo", "directory", "link", "hard link", "loop"])
def test_what_is_planted_at_the_guests_file_names_neither_stops_it_nor_is_written_through(
    kind: str, open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, command_timeout_s=5.0))
    box.run(f"python3 - '{kind}'", stdin=PLANT.encode())
    flood = box.run("seq 1 100000; seq 1 100000 >&2")
    assert flood.ending is Ending.EXITED
    assert flood.out.total_bytes == 588_895
    if kind == "directory":
        with pytest.raises(FileError):
            box.run(LONG)
        with pytest.raises(FileError):
            box.start("echo x")
    else:
        assert box.run(LONG).stdout == b"begin\nend\n"
        number = box.start("echo from behind; sleep 5")
        assert until(lambda: box.poll(number).out.data) == b"from behind\n"
    assert box.read_file("victim") == b"precious\n"
    alive(box)


@pytest.mark.parametrize(
    "plant",
    ["rm -rf {0}; echo > {0}", "rm -rf {0}; ln -s /workspace {0}", "rm -rf {0}; ln -s {0} {0}",
     "rm -rf {0}; python3 -c 'import os; os.mkfifo(\"{0}\")'", "chmod 0 {0}", "rm -rf {0}"],
)  # fmt: skip
def test_no_trap_in_tmp_keeps_a_dead_guest_from_coming_back(
    plant: str, open_box: OpenBox, engine: Engine
) -> None:
    box = open_box()
    box.run("echo kept > kept; " + plant.format("/tmp/.moonpool"))
    engine.kill(box.id)
    assert box.run("true").ending is Ending.LOST
    alive(box)
    assert box.run("seq 1 100000").out.total_bytes == 588_895
    assert [change.path for change in box.export().changes] == [b"kept"]


def test_out_of_memory_ends_the_command_and_not_the_guest(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, memory_bytes=192 << 20))
    eater = "python3 -c 'x=[]\nwhile True: x.append(bytes(range(256))*40000)'"
    for command in (eater, f"for i in 1 2 3 4; do {eater} & done; wait", "tail /dev/zero"):
        result = box.run(command, timeout_s=20)
        assert result.ending is not Ending.LOST
        alive(box)


@pytest.mark.parametrize(
    "hidden",
    [
        "os.unlink('x'); hold.append(fd)",
        "hold.append(mmap.mmap(fd, 20 << 20)); os.close(fd); os.unlink('x')",
        "os.rename('x', f'y{i}'); os.close(fd)",
    ],
    ids=["unlinked", "only mapped", "named"],
)
def test_the_disk_limit_counts_files_without_a_name(
    hidden: str, open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, disk_bytes=100 << 20))
    writer = f"""
import mmap, os, time
hold = []
for i in range(60):
    fd = os.open("x", os.O_CREAT | os.O_RDWR)
    os.write(fd, os.urandom(20 << 20))
    os.fsync(fd)
    {hidden}
    time.sleep(0.1)
print("wrote all of it")
"""
    result = box.run("python3 -", stdin=writer.encode())
    assert result.ending is Ending.OUT_OF_DISK
    assert b"wrote all" not in result.stdout
    alive(box)


def test_a_background_process_that_swallows_every_id_can_be_stopped(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, pids=64))
    box.write_file("swallow.py", SWALLOW)
    number = box.start("python3 swallow.py")

    def refused() -> bool:
        try:
            # Where the shell itself starts, what it starts is refused.
            return box.run("sleep 0.01; true | true", timeout_s=1).exit_code != 0
        except FileError:
            return True

    until(refused)
    box.stop(number)
    alive(box)


@pytest.mark.slow
def test_a_deep_tree_and_files_full_of_holes_do_not_stop_the_export(open_box: OpenBox) -> None:
    box = open_box()
    box.run("echo honest > honest.txt")
    script = """
import os
for i in range(300):
    with open(f"hole{i}", "wb") as f: f.truncate(300 << 20)
os.mkdir("deep"); os.chdir("deep")
for i in range(3000):
    os.mkdir("d" * 10); os.chdir("d" * 10)
open("hidden", "w").close()
"""
    assert box.run("python3 -", stdin=script.encode()).exit_code == 0
    patch = box.export()
    assert [change.path for change in patch.changes] == [b"honest.txt"]
    reasons = {item.reason.split(" (")[0] for item in patch.left_out}
    assert reasons == {"is too large for a patch", "is nested too deep for a patch"}


def test_a_command_that_closes_the_workspace_closes_it_for_no_other(box: Sandbox) -> None:
    box.write_file("kept", b"42\n")
    assert box.run("chmod 0 /workspace").exit_code == 0
    assert box.run("cat kept").stdout == b"42\n"


def test_a_python_of_the_agents_on_the_path_is_never_the_guest(box: Sandbox) -> None:
    """The engine looks for the guest's Python at each start, when the agent has been there."""
    box.run(
        "mkdir -p ~/.local/bin; printf '#!/bin/sh\\ntouch /tmp/broke\\n' > ~/.local/bin/python3"
    )
    box.run("chmod +x ~/.local/bin/python3; cp ~/.local/bin/python3 ~/.local/bin/grep")
    box.break_off()
    assert box.rouse()
    assert box.run("ls /tmp/broke").exit_code
    box.run_program(["grep", "-c", "", "/etc/hosts"])
    assert box.run("ls /tmp/broke").exit_code
    assert b"local" in box.run("command -v python3").stdout, "the attempt is not able"
