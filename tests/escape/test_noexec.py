"""`exec_workspace: false`: no code that the agent brought runs, whatever maps it.

Each attempt runs twice: where files may be executed, to show that it is able, and where they may
not. The evidence is what the code itself computes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from policies.loading import load
from sandbox.engine.docker import Engine
from sandbox.sandbox import Sandbox

ANSWER = b"1764"
HOME = "/home/agent"
LOADER = "/lib64/ld-linux-x86-64.so.2"

LIBRARY = r"""
#include <stdio.h>
__attribute__((constructor)) static void run(void) {
    volatile int n = 42;
    printf("%d\n", n * n); fflush(stdout);
}
unsigned la_version(unsigned version) { return version; }
int plugin_is_GPL_compatible;
int plugin_init(void *info, void *version) { return 0; }
"""
PROGRAM = LIBRARY + "int main(void) { return 0; }"

MACHINE = r"""
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
P, Z, I = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
libc.mmap.restype, libc.mmap.argtypes = P, [P, Z, I, I, I, ctypes.c_long]
libc.mremap.restype, libc.mremap.argtypes = P, [P, Z, Z, I]
libc.shmat.restype, libc.shmat.argtypes = P, [I, P, I]
libc.mprotect.argtypes = [P, Z, I]
libc.pkey_mprotect.argtypes = [P, Z, I, I]
R, W, X, SHARED, PRIVATE, ANON = 1, 2, 4, 1, 2, 32
SIZE = 4096
# What 42 * 42 takes, by machine: eax = 42; eax *= 42; return. Or w0 = 42; w0 = w0 * w0; return.
CODE = {
    "x86_64": bytes.fromhex("b82a000000 6bc02a c3"),
    "aarch64": bytes.fromhex("40058052 007c001b c0035fd6"),
}[os.uname().machine]

def held(result):
    if result in (None, -1, P(-1).value):
        sys.exit("refused: " + os.strerror(ctypes.get_errno()))
    return result

def mapped(prot, flags, handle=-1):
    return held(libc.mmap(None, SIZE, prot, flags, handle, 0))

def protect(at, prot):
    held(libc.mprotect(at, SIZE, prot))

def put(at):
    ctypes.memmove(at, CODE, len(CODE))

def go(at):
    print(ctypes.CFUNCTYPE(I)(at)())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    library: bytes
    program: bytes
    static: bytes


@pytest.fixture(scope="module")
def native(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Native:
    workspace = tmp_path_factory.mktemp("make")
    (workspace / "l.c").write_text(LIBRARY)
    (workspace / "p.c").write_text(PROGRAM)
    with Sandbox.open(
        workspace=workspace, policy=load("default"), image=image, engine=engine
    ) as box:
        made = box.run(
            "gcc -w -shared -fPIC -o l.so l.c && gcc -w -o p p.c && gcc -w -static -o s p.c"
        )
        assert made.exit_code == 0, made.stderr
        return Native(
            library=box.read_file("l.so"), program=box.read_file("p"), static=box.read_file("s")
        )


@pytest.fixture(scope="module")
def boxes(
    engine: Engine, image: str, native: Native, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[bool, Sandbox]]:
    """By whether files of the workspace may be executed. The repository brings the binaries."""
    workspace = tmp_path_factory.mktemp("brings")
    fill(workspace, native)
    opened = {
        may: Sandbox.open(
            workspace=workspace,
            policy=replace(load("default"), exec_workspace=may),
            image=image,
            engine=engine,
        )
        for may in (True, False)
    }
    yield opened
    for box in opened.values():
        box.close()


def fill(workspace: Path, native: Native) -> None:
    files = {"l.so": native.library, "p": native.program, "s": native.static}
    for name, data in files.items():
        (workspace / name).write_bytes(data)
        (workspace / name).chmod(0o755)


# In {at}: a program `p`, the same linked statically as `s`, and a library `l.so`.
LOADS = {
    "a program": "{at}/p",
    "a program without a loader": "{at}/s",
    "a program by its directory": "cd {at} && ./p",
    "a program on the PATH": "PATH={at} p",
    "the loader, told of a program": LOADER + " {at}/p",
    "the loader, told of a library first": LOADER + " --preload {at}/l.so /usr/bin/expr 1",
    "the loader, told to audit": LOADER + " --audit {at}/l.so /usr/bin/expr 1",
    "LD_PRELOAD": "LD_PRELOAD={at}/l.so expr 1",
    "LD_PRELOAD of a static-less name": "LD_LIBRARY_PATH={at} LD_PRELOAD=l.so expr 1",
    "LD_AUDIT": "LD_AUDIT={at}/l.so expr 1",
    "LD_LIBRARY_PATH": "LD_LIBRARY_PATH={at} python3 -c 'import ctypes; ctypes.CDLL(\"l.so\")'",
    "dlopen": "python3 -c 'import ctypes; ctypes.CDLL(\"{at}/l.so\")'",
    "a module for python": "cp {at}/l.so {at}/n.so; PYTHONPATH={at} python3 -c 'import n'",
    "an extension for sqlite": (
        "python3 -c 'import sqlite3; c = sqlite3.connect(\":memory:\");"
        "c.enable_load_extension(True); c.load_extension(\"{at}/l.so\")'"
    ),
    "a builtin for bash": "enable -f {at}/l.so nothing",
    "a plugin for gcc": "echo | gcc -fplugin={at}/l.so -x c -fsyntax-only - -o /dev/null",
    "through a symbolic link": "ln -sfn {at} ~/through; LD_PRELOAD=$HOME/through/l.so expr 1",
    "through a hard link": "ln -f {at}/l.so {at}/hard.so; LD_PRELOAD={at}/hard.so expr 1",
    "moved about": (
        "cp {at}/l.so {at}/m.so; mv {at}/m.so ~/m1.so; mv ~/m1.so /tmp/m2.so;"
        "mv /tmp/m2.so {at}/m3.so; LD_PRELOAD={at}/m3.so expr 1"
    ),
    "through /proc/self/fd": "exec 9< {at}/l.so; LD_PRELOAD=/proc/self/fd/9 expr 1",
    "through /proc/self/root": "LD_PRELOAD=/proc/self/root{at}/l.so expr 1",
    "through /proc/1/root": LOADER + " /proc/self/cwd/../{at}/p",
}  # fmt: skip
PLACES = ("/workspace", "/tmp", HOME)

MEMORY = {
    "writable and executable": "p = mapped(R | W | X, PRIVATE | ANON); put(p); go(p)",
    "written, then executable": (
        "p = mapped(R | W, PRIVATE | ANON); put(p); protect(p, R | X); go(p)"
    ),
    "executable, written, executable again": (
        "p = mapped(R | X, PRIVATE | ANON); protect(p, R | W); put(p); protect(p, R | X); go(p)"
    ),
    "by a protection key": (
        "p = mapped(R | W, PRIVATE | ANON); put(p);"
        "held(libc.pkey_mprotect(p, SIZE, R | X, libc.pkey_alloc(0, 0))); go(p)"
    ),
    "shared pages mapped a second time": (
        "p = mapped(R | X, SHARED | ANON); q = held(libc.mremap(p, 0, SIZE, 1)); protect(q, R | W);"
        "put(q); go(p)"
    ),
    "shared pages written by a child": (
        "p = mapped(R | X, SHARED | ANON)\n"
        "if os.fork() == 0: protect(p, R | W); put(p); os._exit(0)\n"
        "os.wait(); go(p)"
    ),
    "/dev/zero, shared": (
        "p = mapped(R | X, SHARED, os.open('/dev/zero', os.O_RDWR));"
        "q = held(libc.mremap(p, 0, SIZE, 1)); protect(q, R | W); put(q); go(p)"
    ),
    "a shared segment, attached twice": (
        "i = libc.shmget(0, SIZE, 0o1777); put(held(libc.shmat(i, None, 0)));"
        "go(held(libc.shmat(i, None, 0o110000)))"
    ),
    "a shared segment, all at once": (
        "i = libc.shmget(0, SIZE, 0o1777); p = held(libc.shmat(i, None, 0o100000)); put(p); go(p)"
    ),
    "a memory file": (
        "f = os.memfd_create('x'); os.write(f, CODE.ljust(SIZE)); go(mapped(R | X, PRIVATE, f))"
    ),
    "a memory file sealed against execve": (
        "f = os.memfd_create('x', 8); os.write(f, CODE.ljust(SIZE)); go(mapped(R | X, PRIVATE, f))"
    ),
    "a library in a memory file": (
        "f = os.memfd_create('x', 8); os.write(f, open('/workspace/l.so', 'rb').read());"
        "ctypes.CDLL('/proc/self/fd/%d' % f)"
    ),
    "a file of the workspace, mapped": (
        "open('code', 'wb').write(CODE.ljust(SIZE));"
        "go(mapped(R | X, PRIVATE, os.open('code', os.O_RDONLY)))"
    ),
    "a file of the workspace, mapped for all": (
        "open('code', 'wb').write(CODE.ljust(SIZE));"
        "go(mapped(R | X, SHARED, os.open('code', os.O_RDWR)))"
    ),
    "a file without a name": (
        "f = os.open('/tmp', os.O_TMPFILE | os.O_RDWR); os.write(f, CODE.ljust(SIZE));"
        "go(mapped(R | X, PRIVATE, f))"
    ),
}  # fmt: skip

REFUSED_ANYWAY = {
    "one's own memory as a file": (
        "p = mapped(R | X, PRIVATE | ANON); f = os.open('/proc/self/mem', os.O_RDWR);"
        "os.pwrite(f, CODE, p); go(p)"
    ),
    "all that is readable made executable": (
        "libc.personality(0x0400000); p = mapped(R | W, PRIVATE | ANON); put(p); go(p)"
    ),
    "the seal taken off": (
        "libc.prctl(65, 0, 0, 0, 0); libc.prctl(65, 2, 0, 0, 0);"
        "p = mapped(R | W | X, PRIVATE | ANON); put(p); go(p)"
    ),
    "a file of the shared memory directory": (
        "open('/dev/shm/code', 'wb').write(CODE.ljust(SIZE));"
        "go(mapped(R | X, PRIVATE, os.open('/dev/shm/code', os.O_RDONLY)))"
    ),
}


def brought(box: Sandbox, place: str) -> None:
    if place != "/workspace":
        assert box.run(f"cp -p p s l.so {place}/").exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("attempt", LOADS)
def test_no_file_that_the_agent_may_write_is_run_as_code(
    attempt: str, place: str, boxes: dict[bool, Sandbox]
) -> None:
    command = LOADS[attempt].replace("{at}", place)
    for box in boxes.values():
        brought(box, place)
        box.run("cd /workspace")
    assert ANSWER in boxes[True].run(f"({command})").stdout, "the attempt is not able"
    assert ANSWER not in boxes[False].run(f"({command})").stdout


@pytest.mark.parametrize("place", ["/var/tmp", "/dev/shm"])
@pytest.mark.parametrize("attempt", LOADS)
def test_nor_in_places_that_are_no_ones_home(
    attempt: str, place: str, boxes: dict[bool, Sandbox]
) -> None:
    brought(boxes[False], place)
    command = LOADS[attempt].replace("{at}", place)
    assert ANSWER not in boxes[False].run(f"({command})").stdout


@pytest.mark.parametrize("attempt", MEMORY)
def test_no_memory_that_was_written_is_run_as_code(
    attempt: str, boxes: dict[bool, Sandbox]
) -> None:
    script = (MACHINE + MEMORY[attempt]).encode()
    for box in boxes.values():
        box.run("cd /workspace")
    assert ANSWER in boxes[True].run("python3 -", stdin=script).stdout, "the attempt is not able"
    assert ANSWER not in boxes[False].run("python3 -", stdin=script).stdout


@pytest.mark.parametrize("attempt", REFUSED_ANYWAY)
def test_what_no_policy_allows_does_not_help(attempt: str, boxes: dict[bool, Sandbox]) -> None:
    script = (MACHINE + REFUSED_ANYWAY[attempt]).encode()
    assert ANSWER not in boxes[False].run("python3 -", stdin=script).stdout


def test_the_directories_underneath_are_out_of_reach(boxes: dict[bool, Sandbox]) -> None:
    """The same files stand on a mount without the flag, which is where they are kept."""
    box = boxes[False]
    held_at = "/opt/moonpool/volumes"
    mounted = box.run("cat /proc/self/mountinfo").stdout.decode()
    held = [line.split()[4] for line in mounted.splitlines() if f" {held_at}/" in line]
    assert len(held) >= 4
    for path in held:
        assert box.run(f"ls -A {path}; cat {path}/p | head -c 4").stdout == b""
        assert ANSWER not in box.run(f"{LOADER} {path}/p; cd {path} && ./p").stdout
    assert box.run(f"ls -A {held_at}; touch {held_at}/x && echo BROKE").stdout == b""


def test_after_a_restart_the_same_holds(
    engine: Engine, image: str, native: Native, workspace: Path
) -> None:
    fill(workspace, native)
    policy = replace(load("default"), exec_workspace=False)
    with Sandbox.open(workspace=workspace, policy=policy, image=image, engine=engine) as box:
        brought(box, HOME)
        engine.kill(box.id)
        box.run("true")
        assert box.run("echo back").stdout == b"back\n"
        brought(box, "/tmp")
        for place in PLACES:
            for command in LOADS.values():
                ran = box.run(f"({command})".replace("{at}", place))
                assert ANSWER not in ran.stdout, (place, command)
        for script in MEMORY.values():
            assert ANSWER not in box.run("python3 -", stdin=(MACHINE + script).encode()).stdout


@pytest.mark.parametrize("name", ["locked", "read-only"])
def test_bundled_policies_that_forbid_it_hold_it(
    name: str, engine: Engine, image: str, native: Native, workspace: Path
) -> None:
    fill(workspace, native)
    with Sandbox.open(workspace=workspace, policy=load(name), image=image, engine=engine) as box:
        assert set(box.seal.noexec) == {"/workspace", HOME, "/tmp"}
        assert box.seal.memory_sealed
        for command in LOADS.values():
            assert ANSWER not in box.run(f"({command})".replace("{at}", "/workspace")).stdout


HONEST = {
    "echo aab | grep -P 'a+b'": b"aab\n",
    "echo aab > f; rg -P 'a+b' f": b"aab\n",
    # git before 2.40 gives up where it gets no memory for its compiled form, unless told so.
    "git init -q g; cd g; echo aab > f; git add f; git grep -P '(*NO_JIT)a+b'": b"f:aab\n",
    "echo 'def test_x(): pass' > /tmp/test_x.py; pytest -q /tmp | grep -c passed": b"1\n",
    "python3 -c 'import ssl, sqlite3, json, re, ctypes; print(ctypes.CDLL(None).abs(-5))'": b"5\n",
    "echo 'int main(void){return 0;}' | gcc -x c -o out - && stat -c %a out": b"755\n",
    "echo 3 | mawk '{print $1 * 2}'; echo a | sed s/a/b/; echo '{}' | jq -c .": b"6\nb\n{}\n",
    "echo 'echo ran' > s.sh; bash s.sh; echo 'print(1)' > s.py; python3 s.py": b"ran\n1\n",
    "python3 -m venv --without-pip /tmp/e && ls /tmp/e/bin/activate": b"/tmp/e/bin/activate\n",
    "printf 'all:\\n\\t@echo made\\n' > Makefile; make": b"made\n",
}  # fmt: skip


@pytest.mark.parametrize("command", HONEST)
def test_honest_work_goes_on(command: str, boxes: dict[bool, Sandbox]) -> None:
    boxes[False].run("cd /workspace")
    result = boxes[False].run(f"({command})")
    assert result.stdout == HONEST[command], result.stderr
