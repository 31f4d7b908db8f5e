"""Services attacked by commands, and taken over: each does what its own domain lets it, no more.

The service evaluates whatever it is told, so here the agent has taken it over already.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from escape.conftest import ChangedPaths
from fakes.service import HANDED, serving, tell, told
from policies.loading import load
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.errors import FileDenied
from sandbox.results import Ending
from sandbox.sandbox import Sandbox

pytestmark = pytest.mark.slow

MIB = 1 << 20
WAIT_S = 60.0
OTHER = told(name="other", command="echo secret >kept; exec sleep 1000", ready="test -s kept")
"""Another service: the taken-over one is to learn and end nothing of it."""


@pytest.fixture(scope="module")
def served(
    engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    """One sandbox with two services, under attack by every test in turn."""
    workspace = tmp_path_factory.mktemp("served")
    (workspace / "seed").write_text("seed\n")
    policy = serving(load("default"), replace(OTHER, programs=("sleep",)), told())
    with Sandbox.open(workspace=workspace, policy=policy, image=image, engine=engine) as box:
        yield box


READ_DESCRIPTORS = """python3 - <<'END'
import glob, os
for name in glob.glob("/proc/[0-9]*/fd/*"):
    try:
        print(os.read(os.open(name, os.O_RDONLY | os.O_NONBLOCK), 9999))
    except OSError:
        pass
END"""
"""Without waiting: one's own pipes have nothing to be read."""


@pytest.mark.parametrize(
    "attack",
    [
        "kill -9 -1",
        "for p in {2..40}; do kill -9 $p; kill -STOP $p; done 2>/dev/null; true",
        "pkill -9 sleep; pkill -9 python3; true",
        "python3 -c 'import ctypes; [ctypes.CDLL(None).ptrace(16, n, 0, 0) for n in range(2, 40)]'",
        "for p in {2..40}; do cat /proc/$p/environ; echo x >/proc/$p/mem; done 2>/dev/null; true",
        READ_DESCRIPTORS,
    ],
)
def test_no_command_ends_stops_or_traces_a_service(served: Sandbox, attack: str) -> None:
    before = tell(served, "os.getpid()")
    result = served.run(attack, timeout_s=20)
    assert result.ending is Ending.EXITED
    assert b"secret" not in result.stdout
    assert b"HOME=/moonpool" not in result.stdout
    assert tell(served, "os.getpid()") == before
    assert served.run("pgrep -x sleep").stdout.split(), "the other service lives as well"


@pytest.mark.parametrize(
    "attack",
    [
        "cat /moonpool-services/other/kept",
        "cat /moonpool-services/*/kept",
        "echo planted >/moonpool-services/other/kept",
        "echo planted >/moonpool-services/planted",
        "mkdir /moonpool-services/third",
        "rm -rf /moonpool-services/other",
        "mv /moonpool-services/other /moonpool-services/third",
        "ln -s /workspace /moonpool-services/other/link",
        "ln /moonpool-services/other/kept kept",
        "chmod 777 /moonpool-services/other/kept && echo x >/moonpool-services/other/kept",
    ],
)
def test_no_command_reads_or_writes_in_a_directory_of_a_service(
    served: Sandbox, attack: str
) -> None:
    result = served.run(attack)
    assert result.exit_code != 0
    assert b"secret" not in result.stdout
    with pytest.raises(FileDenied):
        served.read_file("/moonpool-services/other/kept")
    with pytest.raises(FileDenied):
        served.write_file("/moonpool-services/other/kept", b"planted", overwrite=True)
    assert tell(served, "sorted(os.listdir('..'))") == "['other', 'told']"
    assert tell(served, "sorted(os.listdir('../other'))") == "['kept']"


WRITES = ["/workspace/x", "/home/agent/x", "/tmp/x", "/var/tmp/x", "/etc/x", "/usr/bin/x", "/x"]


@pytest.mark.parametrize("path", [*WRITES, "/workspace/seed", "../other/kept", "../x"])
def test_a_service_that_was_taken_over_writes_in_its_own_directory_only(
    served: Sandbox, changed_paths: ChangedPaths, path: str
) -> None:
    before = changed_paths(served)
    assert "Permission denied" in tell(served, f"open({path!r}, 'a')")
    assert "Permission denied" in tell(served, f"os.symlink('x', {path!r} + '.link')")
    assert "PermissionError" in tell(served, f"os.rename('handed', {path!r})") or (
        "Invalid cross-device" in tell(served, f"os.rename('handed', {path!r})")
    )
    assert changed_paths(served) == before


READS = ["/workspace/seed", "../other/kept", "/proc/1/environ", "/home/agent/own", "/tmp/own"]


@pytest.mark.parametrize("path", READS)
def test_it_reads_neither_what_is_the_agent_s_nor_another_s_files(
    served: Sandbox, path: str
) -> None:
    served.run("echo x >~/own; echo x >/tmp/own")
    assert "Permission denied" in tell(served, f"open({path!r}).read()")


@pytest.mark.parametrize(
    "program", ["/usr/bin/git", "/usr/bin/perl", "/bin/sh", "/usr/bin/sleep", "/workspace/own"]
)
def test_it_runs_its_own_programs_only(served: Sandbox, program: str) -> None:
    served.write_file("own", b"#!/bin/bash\n", overwrite=True)
    served.run("chmod +x own")
    assert "Permission denied" in tell(served, f"subprocess.run([{program!r}])")
    assert "Permission denied" in tell(served, f"open({program!r}, 'rb').read(4)")
    loader = "/lib64/ld-linux-x86-64.so.2"
    assert tell(served, f"subprocess.run([{loader!r}, {program!r}]).returncode") != "0"


def test_it_neither_executes_nor_loads_what_it_writes(served: Sandbox) -> None:
    copied = "__import__('shutil').copy(os.path.realpath('/usr/bin/python3'), 'own')"
    assert tell(served, copied) == "own"
    assert "Permission denied" in tell(served, "subprocess.run(['./own'])")
    loader = "/lib64/ld-linux-x86-64.so.2"
    assert tell(served, f"subprocess.run([{loader!r}, './own', '-c', '']).returncode") == "127"
    library = "[__import__('shutil').copy(p, 'lib.so') for p in __import__('glob').glob("
    library += "'/lib/*/libz.so.1')]"
    assert tell(served, library) == "['lib.so']"
    assert "OSError" in tell(served, "__import__('ctypes').CDLL('./lib.so')")
    tell(served, "[os.unlink('own'), os.unlink('lib.so')]")


@pytest.mark.parametrize(
    "way",
    [
        "socket.create_connection(('192.0.2.1', 80), 2)",
        "socket.create_connection(('172.17.0.1', 22), 2)",
        "socket.getaddrinfo('example.org', 80)",
        "socket.socket(socket.AF_INET, socket.SOCK_RAW)",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    ],
)
def test_it_reaches_no_network(served: Sandbox, way: str) -> None:
    assert "rror" in tell(served, way).partition(":")[0]


# -- one sandbox each: afterwards it is not what it was --------------------------------------------


def test_memory_pressure_ends_services_and_commands_first(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(serving(default_policy))
    pid = tell(box, "os.getpid()")
    (supervisor,) = box.run(f"ps -o ppid= -p {pid}").stdout.split()
    for process, adjusted in ((pid, b"800"), ("1", b"0"), (supervisor.decode(), b"0")):
        assert box.read_file(f"/proc/{process}/oom_score_adj").strip() == adjusted
    limits = replace(default_policy.limits, memory_bytes=256 * MIB)
    box = open_box(serving(replace(default_policy, limits=limits)))
    tell(box, "bytearray(300 << 20)")
    assert tell(box, "1").startswith("not there")
    assert box.run("echo fine").stdout == b"fine\n"
    assert not box.rouse(), "the guest answers"


def test_it_may_be_crashed_and_then_nothing_is_worse_than_that(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(serving(default_policy))
    tell(box, "os._exit(1)")
    assert tell(box, "1").startswith("not there")
    assert box.run("echo fine").stdout == b"fine\n"
    assert box.run("true").leftovers == 0
    assert box.export().changes == ()


@pytest.mark.parametrize("attack", ["kill -9 -1", "for p in {1..60}; do kill -9 $p; done"])
def test_it_ends_neither_guest_nor_another_service_nor_a_command(
    open_box: OpenBox, default_policy: Policy, attack: str
) -> None:
    box = open_box(serving(default_policy, replace(OTHER, programs=("sleep",)), told()))
    kept = box.start("exec sleep 999")
    tell(box, f"subprocess.run(['bash', '-c', {attack!r}])")
    assert tell(box, "1").startswith("not there"), "it could end itself"
    assert box.poll(kept).exit_code is None
    assert len(box.run("pgrep -x sleep").stdout.split()) == 2
    assert not box.rouse(), "the guest answers"


def test_what_it_forks_is_no_command_s_leftover_and_ends_with_the_container(
    open_box: OpenBox, default_policy: Policy, engine: Engine
) -> None:
    box = open_box(serving(default_policy))
    fork = "[os.fork() or [os.setsid(), os.fork() and os._exit(0), time.sleep(999)] for _ in 'abc']"
    tell(box, fork)
    result = box.run("true")
    assert (result.exit_code, result.leftovers) == (0, 0)
    assert box.run("sleep 999 & true").leftovers == 1
    box.close()
    assert not [one for one in engine.containers("moonpool.managed=1") if one.id == box.id]


def test_it_fills_its_directory_and_no_disk(open_box: OpenBox, default_policy: Policy) -> None:
    limits = replace(default_policy.limits, memory_bytes=512 * MIB, disk_bytes=4096 * MIB)
    box = open_box(serving(replace(default_policy, limits=limits)))
    fill = "[open(str(n), 'wb').write(bytes(1 << 20)) for n in range(1000)]"
    assert "No space left" in tell(box, fill)
    assert "No space left" in tell(box, "[open('f%d' % n, 'w') for n in range(100000)]")
    used = "sum(os.stat(name).st_blocks * 512 for name in os.listdir('.'))"
    assert int(tell(box, used)) <= 64 * MIB
    assert box.run("echo fine").stdout == b"fine\n"


def test_it_floods_its_output_and_the_sandbox_lives_on(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(serving(default_policy))
    tell(box, "[os.write(1, b'x' * 65536) for _ in range(20000)] and 1")
    assert tell(box, "1 + 1") == "2"
    assert box.export().changes == ()


HAND = f"""
import array, os, socket
handle = os.open("handed-over", os.O_RDWR | os.O_CREAT)
stream = socket.socket(socket.AF_UNIX)
stream.connect({HANDED!r})
stream.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [handle]))])
"""


def test_a_file_that_a_command_hands_it_open_does_not_change_while_a_patch_is_made(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(serving(default_policy))
    box.run("python3 -", stdin=HAND.encode())
    assert wait_for(box, "len(held)", "1")
    writing = "threading.Thread(target=lambda: [os.pwrite(held[0], b'%d' % n, 0) for n in range("
    tell(box, writing + "1 << 40)], daemon=True).start()")
    patch = box.export()
    (changed,) = patch.changes
    assert changed.path == b"handed-over"
    assert box.read_file("handed-over") in patch.data, "it stands still from the look on"


def test_space_that_a_command_hands_it_without_a_name_counts(
    open_box: OpenBox, default_policy: Policy
) -> None:
    limits = replace(default_policy.limits, disk_bytes=64 * MIB)
    box = open_box(serving(replace(default_policy, limits=limits)))
    unlink = '\nos.unlink("handed-over")\n'
    for count in ("1", "2"):
        box.run("python3 -", stdin=(HAND + unlink).encode())
        assert wait_for(box, "len(held)", count)
    tell(box, "[os.write(handle, bytes(1 << 20)) for handle in held for _ in range(48)] and 1")
    assert wait_for(box, "1", "not there"), "the service that held it is ended"
    assert box.run("echo fine").stdout == b"fine\n"


def wait_for(box: Sandbox, expression: str, said: str) -> bool:
    """Whether the service answers so before long."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        if tell(box, expression).startswith(said):
            return True
    return False


def test_a_container_that_starts_again_starts_them_before_any_command(
    open_box: OpenBox, default_policy: Policy, workspace: Path
) -> None:
    (workspace / "seed").write_text("seed\n")
    box = open_box(serving(default_policy))
    box.start(
        "while :; do python3 -c 'import socket; socket.create_server((\"\", 7077)).accept()'; done"
    )
    box.break_off()
    assert box.rouse()
    assert tell(box, "os.getcwd()") == "/moonpool-services/told"
