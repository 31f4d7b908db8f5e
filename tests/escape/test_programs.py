"""What the kernel lets run: all of the image's programs, and what a repository could widen."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from escape.conftest import Standing
from policies.kernel.image import ContainerImage
from policies.kernel.resolution import granted
from policies.loading import load
from policies.paths import SCRATCH
from policies.policy import Policy
from sandbox.container.prepared_image import prepare
from sandbox.engine.docker import Engine
from sandbox.errors import FileError

PERL = "/usr/bin/perl -e 'print 42*42'"

TRY_ALL = r"""
import json, os, sys
ran = []
for path in json.load(sys.stdin):
    reached = []
    try:
        os.close(os.open(path, os.O_RDONLY)); reached.append("read")
    except PermissionError:
        pass
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        # Where the exec is refused we are still here to say so.
        try: os.execv(path, [path, "--version"])
        except OSError as error: os.write(w, b"%d" % error.errno)
        os._exit(0)
    os.close(w)
    if os.read(r, 16) != b"13": reached.append("executed")
    os.close(r); os.waitpid(pid, 0)
    if reached: ran.append([path, reached])
print(json.dumps(ran))
"""


@pytest.mark.parametrize("name", ["default", "read-only", "locked"])
def test_every_program_of_the_image_that_is_not_granted_is_neither_read_nor_run(
    name: str, standing: Standing, engine: Engine, image: str
) -> None:
    info = engine.image(image)
    assert info is not None
    inventory = prepare(engine, info, on_progress=lambda _: None).inventory
    places = ("/workspace", "/home/agent", *SCRATCH)
    allowed = granted(
        load(name), ContainerImage(inventory, set_aside=places), may_ask=False
    ).visible
    forbidden = sorted(set(inventory.programs) - allowed)
    assert "/usr/bin/perl" in " ".join(forbidden)
    assert len(forbidden) > 200
    box = standing(name)
    if name == "read-only":
        # Nothing there could try them all: bash opens each, and starts some.
        listed = "\n".join(forbidden).encode()
        script = "while read -r p; do { exec 9< $p; } 2>/dev/null && echo read $p; done; true"
        assert box.run(script, stdin=listed).stdout == b""
        started = " ".join(f"({path}) 2>/dev/null </dev/null; [ $? = 126 ] || echo ran {path};"
                           for path in forbidden[:300])  # fmt: skip
        assert box.run(started).stdout == b""
        return
    box.write_file("/tmp/try.py", TRY_ALL.encode())
    result = box.run("python3 /tmp/try.py", stdin=json.dumps(forbidden).encode(), timeout_s=60)
    assert json.loads(result.stdout) == []


def test_without_a_shell_the_same_holds(standing: Standing) -> None:
    with pytest.raises(FileError):
        standing("default").run_program(["/usr/bin/perl", "-e", "print 42*42"])
    assert standing("default").run_program(["expr", "42", "*", "42"]).stdout == b"1764\n"


def test_in_the_background_the_same_holds(standing: Standing) -> None:
    box = standing("default")
    number = box.start(f"{PERL}; echo ended")
    status = box.poll(number)
    while status.exit_code is None:
        box.run("sleep 0.05")
        status = box.poll(number)
    assert status.out.data == b"ended\n"


def widened(policy: Policy, *write: str) -> Policy:
    return replace(policy, paths=replace(policy.paths, write=write))


def test_a_link_in_place_of_a_writable_path_grants_nothing(
    open_box: OpenBox, workspace: Path, default_policy: Policy
) -> None:
    """A rule is for what stands at a path, and the repository decides what stands there."""
    (workspace / "file").symlink_to("/usr/bin/perl")
    (workspace / "src").symlink_to("/usr/sbin")
    (workspace / "all").symlink_to("/")
    (workspace / "up").mkdir()
    (workspace / "up/link").symlink_to("../..")
    box = open_box(widened(default_policy, "file", "src", "all", "up/link/usr/bin", "ok"))
    result = box.run(f"{PERL}; /usr/sbin/useradd --help; echo x > all/etc/x; head -c4 file")
    assert b"1764" not in result.stdout
    assert b"Usage" not in result.stdout
    assert b"ELF" not in result.stdout


def test_a_link_planted_before_a_restart_grants_nothing(
    open_box: OpenBox, engine: Engine, default_policy: Policy
) -> None:
    box = open_box(widened(default_policy, ".", "/tmp/cache", "sub"))
    box.run("ln -s /usr/bin/perl /tmp/cache; ln -s / sub")
    engine.kill(box.id)
    box.run("true")
    assert box.run("echo back").stdout == b"back\n"
    assert b"1764" not in box.run(f"{PERL}; sub{PERL}").stdout


def test_what_loads_a_binary_of_the_workspace_gets_no_more_than_the_policy(
    standing: Standing,
) -> None:
    """With `exec_workspace` the agent's own binaries run; without, not even through the loader."""
    loader = "/lib64/ld-linux-x86-64.so.2"
    copied = "cat /bin/tee > /tmp/tee; cat /usr/bin/env > /tmp/env"
    box = standing("default")
    box.run(copied)
    assert box.run(f"{loader} /tmp/env printf ran").stdout == b"ran"
    assert b"1764" not in box.run(f"{loader} /tmp/env {PERL}").stdout
    assert box.run(f"echo x | {loader} /tmp/tee /etc/passwd /usr/new").exit_code != 0
    assert box.run("tail -n 1 /etc/passwd; ls /usr/new").stdout.startswith(b"agent:")
    box = standing("read-only")
    box.run(copied)
    assert box.run("/tmp/env printf ran").exit_code == 126
    assert box.run(f"{loader} /tmp/env printf ran").stdout == b""
    box.run(f"echo x | {loader} /tmp/tee /workspace/seed /workspace/new /etc/passwd")
    assert box.run("cat seed; ls").stdout == b"seed\nseed\n"


def test_modes_changed_under_a_policy_that_only_reads_are_not_in_the_patch(
    open_box: OpenBox, workspace: Path, engine: Engine
) -> None:
    """Landlock holds no modes: a binary that gets loaded may call chmod on its owner's files."""
    (workspace / "seed").write_text("seed\n")
    os.chmod(workspace / "seed", 0o644)
    maker = open_box()
    maker.run("echo '#include <sys/stat.h>\nint main(){return chmod(\"/workspace/seed\",0755);}' "
              "| gcc -x c -o c -")  # fmt: skip
    binary = maker.read_file("c")
    box = open_box(replace(load("read-only"), exec_workspace=True))
    box.write_file("/tmp/c", binary)
    assert box.run("/lib64/ld-linux-x86-64.so.2 /tmp/c").exit_code == 0
    patch = box.export()
    assert patch.changes == ()
    assert [item.path for item in patch.left_out] == [b"seed"]


def test_honest_renames_and_links_between_directories_are_not_caught(standing: Standing) -> None:
    """A second Landlock domain refuses them all unless it says otherwise."""
    box = standing("default")
    script = (
        "import os; os.makedirs('m/a'); os.makedirs('m/b'); open('m/a/x', 'w').close();"
        "os.rename('m/a/x', 'm/b/x'); os.link('m/b/x', 'm/a/l'); os.rename('m/b/x', '/tmp/x');"
        "os.rename('m/b', 'm/a/b'); print(42)"
    )
    assert box.run_program(["python3", "-c", script]).stdout == b"42\n"
    git = "mkdir g; cd g; git init -q; mkdir a b; echo > a/x; git add .; git mv a/x b/x; ls b"
    assert box.run(git).stdout == b"x\n"


def test_a_library_is_not_its_program(standing: Standing) -> None:
    """An interpreter in a shared library needs no execve: it can be neither read nor mapped."""
    script = """
import ctypes, glob, mmap, os, shutil
found = [p for p in glob.glob("/usr/lib/*/libperl.so.5.*") if not os.path.islink(p)][0]
for load in (ctypes.CDLL, lambda path: shutil.copy(path, "/workspace/l.so"),
             lambda path: mmap.mmap(os.open(path, os.O_PATH), 0, prot=mmap.PROT_READ)):
    try: load(found)
    except (OSError, ValueError): pass
    else: print("BROKE")
for way in (found, "l.so"):
    try:
        perl = ctypes.CDLL(way)
        perl.perl_alloc.restype = ctypes.c_void_p
        me = ctypes.c_void_p(perl.perl_alloc())
        perl.perl_construct(me)
        code = b"$|=1; print 42*42"
        perl.perl_parse(me, None, 3, (ctypes.c_char_p * 4)(b"perl", b"-e", code, None), None)
        perl.perl_run(me)
    except OSError as error:
        print(error.errno or "refused")
"""
    result = standing("default").run("python3 -", stdin=script.encode())
    assert result.stdout.split() == [b"refused", b"refused"], result.stderr
    linked = "gcc -x c - -o linked /usr/lib/x86_64-linux-gnu/libperl.so.5.36 <<< 'int main(){}'"
    assert b"ermission denied" in standing("default").run(linked).stderr
