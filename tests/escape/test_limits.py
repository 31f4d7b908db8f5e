"""Every limit, attacked in a real container: a result that names it, never a hang, and a sandbox
that lives on. Bounds on time are there to find a hang; they claim no speed."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.errors import SandboxLost
from sandbox.results import CommandResult, Ending, LimitMet
from sandbox.sandbox import Sandbox
from waiting import until

pytestmark = pytest.mark.slow

HANG_S = 90.0
MIB = 1 << 20
DISK = 100 * MIB


def limited(policy: Policy, **limits: float) -> Policy:
    return replace(policy, limits=replace(policy.limits, **limits))  # type: ignore[arg-type]


def alive(box: Sandbox) -> None:
    assert box.run("echo $((6*7))").stdout == b"42\n"


def timely(box: Sandbox, command: str, timeout_s: float) -> CommandResult:
    began = time.monotonic()
    result = box.run(command, timeout_s=timeout_s)
    assert time.monotonic() - began < timeout_s + HANG_S
    return result


@contextmanager
def lowest_free(directory: Path) -> Iterator[list[int]]:
    """How far the free space of a disk went down meanwhile, in bytes: the first and the lowest."""

    def free() -> int:
        state = os.statvfs(directory)
        return state.f_bfree * state.f_frsize

    seen = [free(), free()]
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.005):
            seen[1] = min(seen[1], free())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


PYTHON = {
    "chmod 0": "os.mkdir('d'); os.chdir('d'); f = open('x', 'wb'); os.chmod('.', 0)\n"
    "for i in range(4000): f.write(bytes(90000)); f.flush(); i % 900 or swap()",
    "too deep for a path": "for i in range(60): os.mkdir('d' * 200); os.chdir('d' * 200)\n"
    "while True: fill(50)",
    "holes filled later": "f = [open(f'x{i}', 'wb') for i in range(9)]\n"
    "for each in f: each.truncate(90 << 20)\n"
    "for each in f:\n  for at in range(0, 90 << 20, 4096): each.seek(at); each.write(b'x')",
    "mapped": "import mmap\nfor i in range(9):\n"
    "  fd = os.open(f'x{i}', os.O_CREAT | os.O_RDWR); os.ftruncate(fd, 50 << 20)\n"
    "  m = mmap.mmap(fd, 50 << 20)\n  for at in range(0, 50 << 20, 4096): m[at] = 1",
    "empty files": "for i in range(10**7): open(f'f{i}', 'w').close()",
    "reserved": "for i in range(50):\n"
    "  os.posix_fallocate(os.open(f'f{i}', os.O_CREAT | os.O_RDWR), 0, 50 << 20)",
    "in /tmp": "os.chdir('/tmp')\nwhile True: fill(50)",
    "at home": "os.chdir(os.environ['HOME'])\nwhile True: fill(50)",
    "detached": "if os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n"
    "    while True: fill(50)\ntime.sleep(60)",
}  # fmt: skip
HELPERS = """
import os, time
count = 0
def fill(mib):
    global count
    count += 1
    with open(f"fill{count}", "wb") as file:
        for _ in range(mib): file.write(bytes(1 << 20))
def swap():
    pass
"""


@pytest.mark.parametrize("how", PYTHON)
def test_no_way_to_write_passes_the_disk_limit_by_much(
    how: str, open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, disk_bytes=DISK))
    box.write_file("attack.py", (HELPERS + PYTHON[how]).encode())
    result = timely(box, "python3 /workspace/attack.py; sleep 60", 120)
    assert result.ending is Ending.OUT_OF_DISK
    # What it wrote stays, and what is run next may look at it, delete it, and write again.
    # Where the count that ended it came before the last of what it wrote (a busy machine), the next
    # command is ended too, and the one after it runs.
    look = (
        "chmod -R u+rwx d* 2>/dev/null; du -sxk --inodes /workspace /tmp; "
        "du -sxk /workspace /tmp ~ 2>/dev/null"
    )
    taken = box.run(look)
    if taken.ending is Ending.OUT_OF_DISK:
        taken = box.run(look)
    assert taken.ending is Ending.EXITED
    sizes = [int(line.split()[0]) for line in taken.stdout.splitlines()[2:]]
    assert sum(sizes) << 10 < 5 * DISK  # on a busy machine, looks come late
    box.run("rm -rf d* f* x*; rm -rf /tmp/f* ~/f*")
    assert (
        box.run("head -c 1000000 /dev/zero > ok; sleep 0.1; stat -c %s ok").stdout == b"1000000\n"
    )
    assert b"ok" in {change.path for change in box.export().changes}


RESERVE = """
import ctypes, fcntl, os, struct
fd = os.open("reserved", os.O_CREAT | os.O_RDWR)
size = 64 << 30
libc = ctypes.CDLL(None, use_errno=True)
for mode in (0, 1, 16, 17):
    libc.fallocate(fd, mode, ctypes.c_long(0), ctypes.c_long(size))
for request in (0x40305828, 0x4030582A, 0x40305839):
    try: fcntl.ioctl(fd, request, struct.pack("<hhxxxxqqII4i", 0, 0, 0, size, 0, 0, 0, 0, 0, 0))
    except OSError as error: pass
print(os.fstat(fd).st_blocks)
"""


def test_the_hosts_disk_can_not_be_reserved_without_writing(
    open_box: OpenBox, default_policy: Policy, engine: Engine
) -> None:
    box = open_box(limited(default_policy, disk_bytes=1 << 40))
    root = engine.local_root()
    assert root is not None
    with lowest_free(root) as seen:
        assert box.run("python3 -", stdin=RESERVE.encode()).stdout == b"0\n"
    assert seen[0] - seen[1] < 8 << 30


OUT_OF_SIGHT = {
    "sent and not received": "a, b = pair(); keep.append((a, b)); send(a, fd)",
    "sent in what was sent": "a, b = pair(); keep.append(a); send(a, fd); "
    "send(outer[0], b.fileno()); b.close()",
    "sent to who does not accept": "a = socket.socket(socket.AF_UNIX); "
    "a.connect('s'); send(a, fd)",
    "hardly mapped": "libc.mmap(None, 4096, 1, 1, fd, ctypes.c_long(0))",
}  # fmt: skip
HIDING = """
import ctypes, os, socket, subprocess, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
pair, keep = socket.socketpair, []
outer = pair()
listening = socket.socket(socket.AF_UNIX); listening.bind("s"); listening.listen(50)
def send(to, fd): socket.send_fds(to, [b"x"], [fd])
def nameless():
    fd = os.open(".", os.O_TMPFILE | os.O_RDWR)
    for _ in range(20): os.write(fd, os.urandom(1 << 20))
    return fd
"""


@pytest.mark.parametrize("how", OUT_OF_SIGHT)
def test_files_that_no_look_at_processes_can_measure_count_all_the_same(
    how: str, open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, disk_bytes=100 * MIB))
    hide = f"fd = nameless(); {OUT_OF_SIGHT[how]}; os.close(fd); time.sleep(0.1)"
    script = f"{HIDING}\nfor _ in range(30):\n  {hide}\nprint('wrote all')"
    result = box.run("python3 -", stdin=script.encode())
    assert (result.ending, result.stdout) == (Ending.OUT_OF_DISK, b"")
    alive(box)


def test_descriptors_that_wait_in_a_socket_are_no_offence(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, disk_bytes=1 << 30))
    script = "fd = nameless()\nfor _ in range(9): send(outer[0], fd)\nnameless(); time.sleep(1)"
    result = box.run("python3 -", stdin=f"{HIDING}\n{script}\nprint('fine')".encode())
    assert (result.exit_code, result.stdout) == (0, b"fine\n")


def test_a_program_that_nobody_may_look_into_is_no_offence(box: Sandbox) -> None:
    """An agent for keys is one, and any program that may be executed and not read."""
    result = box.run("cp /usr/bin/sleep s && chmod 111 s && ./s 5 && echo fine")
    assert (result.exit_code, result.stdout) == (0, b"fine\n")


def test_a_program_that_nobody_may_look_into_hides_nothing(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, disk_bytes=100 * MIB))
    hide = "keep.append(nameless()); time.sleep(0.1)"
    script = f"{HIDING}\nlibc.prctl(4, 0)\nfor _ in range(30):\n  {hide}\nprint('wrote all')"
    result = box.run("python3 -", stdin=script.encode())
    assert (result.ending, result.stdout) == (Ending.OUT_OF_DISK, b"")


def test_no_ruleset_holds_files_that_nobody_sees(box: Sandbox) -> None:
    script = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    script += "print(libc.syscall(444, None, 0, 1), os.strerror(ctypes.get_errno()))"
    assert box.run("python3 -", stdin=script.encode()).stdout == b"-1 Function not implemented\n"


def test_more_files_in_memory_than_there_is_room_for_end_as_a_full_disk_does(
    open_box: OpenBox, default_policy: Policy
) -> None:
    """An empty file takes none of the size, and its kilobyte of the kernel's outlives whoever is
    killed for it."""
    policy = replace(limited(default_policy, memory_bytes=256 * MIB), exec_workspace=False)
    box = open_box(policy)
    script = "for i in range(10**6): open(f'/tmp/{i}' + 'x' * 200, 'w').close()"
    result = box.run("python3 -", stdin=script.encode(), timeout_s=60)
    assert result.ending is Ending.EXITED
    assert b"No space left on device" in result.stderr
    assert box.run("python3 -c 'x = bytearray(100 << 20)'").exit_code == 0


def test_a_library_that_wants_to_reserve_space_still_gets_it(box: Sandbox) -> None:
    result = box.run(
        "python3 -c \"import os; fd = os.open('x', os.O_CREAT | os.O_RDWR); "
        'os.posix_fallocate(fd, 0, 1 << 20); print(os.fstat(fd).st_size)"'
    )
    assert result.stdout == b"1048576\n"


def test_background_writers_are_ended_too_and_the_model_is_told(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, disk_bytes=DISK))
    number = box.start(
        "for i in 1 2 3 4 5 6 7 8; do head -c 50000000 /dev/zero > b$i; done; sleep 99"
    )
    until(lambda: box.poll(number).exit_code is not None)
    assert box.poll(number).exit_code == 137
    result = box.run("ls")
    assert (result.ending, result.limits) == (Ending.EXITED, (LimitMet.DISK,))
    assert box.run("rm b*; echo $((6*7))").stdout == b"42\n"


def test_nothing_of_a_background_process_lives_on_unwatched(box: Sandbox) -> None:
    number = box.start("(setsid bash -c 'while sleep 0.1; do date >> /tmp/beat; done' &); exit 3")
    until(lambda: box.poll(number).exit_code is not None)
    assert box.poll(number).exit_code == 3
    before = box.run("cat /tmp/beat 2>/dev/null | wc -l; pgrep -c sleep").stdout
    time.sleep(0.5)
    assert box.run("cat /tmp/beat 2>/dev/null | wc -l; pgrep -c sleep").stdout == before


def test_one_file_that_reaches_the_limit_names_it(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, disk_bytes=DISK))
    result = timely(box, "head -c 900000000 /dev/zero > big", 60)
    assert result.ending is Ending.OUT_OF_DISK
    assert box.run("rm big; echo gone").stdout == b"gone\n"


def test_hard_links_count_once(open_box: OpenBox, default_policy: Policy) -> None:
    box = open_box(limited(default_policy, disk_bytes=DISK))
    command = "head -c 30000000 /dev/zero > a; for i in $(seq 50); do ln a b$i; done; echo x > c"
    assert box.run(command).ending is Ending.EXITED
    assert box.run("head -c 40000000 /dev/zero > d; sleep 0.6; echo fine").stdout == b"fine\n"


@pytest.mark.parametrize("flood", ["yes", "yes >&2", "yes & yes >&2", "tr '\\0' x < /dev/zero"])
def test_endless_output_ends_with_the_time_and_not_with_the_host(
    flood: str, open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, disk_bytes=400 * MIB))
    for _ in range(4):
        result = timely(box, flood, 1.5)
        assert result.ending is Ending.TIMED_OUT
        assert len(result.stdout) + len(result.stderr) < 4 * default_policy.limits.output_bytes
    kept = int(box.run("du -sk /tmp | cut -f1").stdout)
    assert kept << 10 < 330 * MIB


def test_output_goes_on_where_there_is_no_room_to_spill_it(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, disk_bytes=40 * MIB))
    result = timely(box, "seq 1 9000000", 60)
    assert result.out.total_bytes > 40 * MIB or result.ending is Ending.OUT_OF_DISK
    assert result.out.head.startswith(b"1\n2\n")
    alive(box)


BOMBS = {
    "bash": ":(){ :|:& }; :; sleep 1000",
    "python": "python3 -c 'import os\nwhile True:\n try: os.fork()\n except OSError: pass'",
    "threads": "python3 -c 'import threading, time\nn = 0\nwhile True:\n"
    " threading.Thread(target=time.sleep, args=(1000,)).start()'",
    "reparenting": "python3 -c 'import os\nwhile True:\n try:\n  if os.fork(): os._exit(0)\n"
    "  os.setsid(); os.fork()\n except OSError: pass'; sleep 1000",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_fork_bomb_ends_with_its_time_and_names_the_limit(
    bomb: str, open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, pids=128))
    result = timely(box, BOMBS[bomb], 3)
    assert result.ending is Ending.TIMED_OUT or bomb == "threads"
    assert LimitMet.PIDS in result.limits
    alive(box)
    assert box.run("true").limits == ()


def test_as_many_busy_loops_as_there_may_be_processes_do_not_hold_a_timeout_up(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, pids=512))
    loops = "for i in $(seq 480); do while :; do :; done & done; wait"
    assert timely(box, loops, 2).ending is Ending.TIMED_OUT
    alive(box)
    number = box.start(loops)
    time.sleep(1)
    assert timely(box, "sleep 1000", 2).ending is Ending.TIMED_OUT
    box.stop(number)
    alive(box)


STUBBORN = {
    "ignores signals": "trap '' TERM INT HUP QUIT; while :; do sleep 1; done",
    "stopped": "sleep 1000 & kill -STOP $!; kill -STOP $$; sleep 1000",
    "in a wait of the kernel": 'python3 -c \'import os\nif os.vfork() if hasattr(os, "vfork") '
    "else os.fork(): os.wait()\nelse:\n import time\n time.sleep(1000)'",
    "spawns as it dies": "trap 'setsid sleep 1000 &' EXIT; sleep 1000",
    "pipe nobody reads": "mkdir -p p; yes | sleep 1000",
}


@pytest.mark.parametrize("how", STUBBORN)
def test_what_will_not_end_is_ended(how: str, box: Sandbox) -> None:
    assert timely(box, STUBBORN[how], 1).ending is Ending.TIMED_OUT
    assert box.run("pgrep -c 'sleep|yes'").stdout == b"0\n"


EATERS = {
    "shared memory": "for i in 1 2 3 4; do head -c 60000000 /dev/zero > /dev/shm/$i & done; "
    "wait; python3 -c 'x = bytearray(100 << 20)'; sleep 1000",
    "pipes": "python3 -c 'import os\nfor i in range(9000):\n r, w = os.pipe(); os.set_blocking(w, "
    "False)\n try: os.write(w, bytes(1 << 20))\n except OSError: break'; sleep 1000",
    "sockets": "python3 -c 'import socket, time\nkeep = []\nwhile True:\n"
    " try:\n  a, b = socket.socketpair(); a.setblocking(False); keep.append((a, b))\n"
    "  while True: a.send(bytes(1 << 16))\n except BlockingIOError: pass\n"
    " except OSError: time.sleep(1000)'",
    "memory files": 'python3 -c \'import os\nfd = os.memfd_create("x")\nwhile True: '
    "os.write(fd, bytes(1 << 20))'; sleep 1000",
}


@pytest.mark.parametrize("how", EATERS)
def test_memory_that_is_taken_another_way_is_bounded_and_given_back(
    how: str, open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, memory_bytes=128 * MIB))
    result = timely(box, EATERS[how], 5)
    assert result.ending in {Ending.TIMED_OUT, Ending.OUT_OF_MEMORY}
    box.run("rm -f /dev/shm/*")
    alive(box)


def test_a_grandchild_killed_for_memory_is_told_though_the_command_goes_on(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(limited(default_policy, memory_bytes=192 * MIB))
    eater = "python3 -c 'x=[]\nwhile True: x.append(bytes(range(256))*40000)'"
    result = timely(box, f'bash -c "{eater}" 2>/dev/null; echo went on', 20)
    assert (result.exit_code, result.stdout) == (0, b"went on\n")
    assert result.limits == (LimitMet.MEMORY,)
    assert box.run("true").limits == ()


def test_a_host_whose_disk_fills_up_ends_the_command_and_says_so(box: Sandbox) -> None:
    low = box._session.disk_low
    result = box.run("echo began; sleep 1000", timeout_s=60, on_output=lambda *_: low.set())
    assert result.ending is Ending.HOST_DISK_LOW
    assert result.stdout == b"began\n"
    alive(box)


def test_a_container_killed_for_the_hosts_disk_stays_dead_and_is_still_exported(
    box: Sandbox,
) -> None:
    box.run("echo kept > kept")
    box.start("sleep 1000")
    kill = box._session._kill
    with pytest.raises(SandboxLost, match="the disk is full"):
        box.run("sleep 1000", on_output=None, timeout_s=60, stdin=_killing(kill))
    with pytest.raises(SandboxLost, match="the disk is full"):
        box.run("true")
    assert [change.path for change in box.export().changes] == [b"kept"]


def _killing(kill: Callable[[str], None]) -> bytes:
    threading.Timer(0.5, kill, ["the disk is full"]).start()
    return b""
