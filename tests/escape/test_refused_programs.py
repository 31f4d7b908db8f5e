"""Programs that the kernel refused: noticed however they were started, and nothing forged."""

import pytest

from escape.conftest import Standing
from sandbox.results import Ending
from sandbox.sandbox import Sandbox

STARTED = {
    "bash": "perl -e 1",
    "path": "/usr/bin/perl -e 1; echo fine",
    "python": "python3 -c 'import subprocess; subprocess.run([\"perl\"])'",
    "find": "touch x; find x -exec perl {} +",
    "xargs": "echo | xargs perl",
    "env": "env perl",
    "timeout": "timeout 5 perl",
    "make": "printf 'all:\\n\\tperl -e 1\\n' > M; make -f M",
    "shebang": "printf '#!/usr/bin/perl\\n' > s; chmod +x s; ./s",
    "reading": "cat /usr/bin/perl > copy",
    "merged streams": "perl 2>&1",
    "after much output": "seq 1 100000; perl",
    "silent, by its exit code": "perl 2>/dev/null",
    "another directory": "cd /usr; bin/perl",
    "detached": "(setsid perl &); sleep 0.2",
}


@pytest.fixture(scope="module")
def box(standing: Standing) -> Sandbox:
    return standing("default")


@pytest.mark.parametrize("how", STARTED)
def test_a_refused_program_is_noticed(how: str, box: Sandbox) -> None:
    assert box.run(STARTED[how]).refused == ("/usr/bin/perl",)
    assert box.run("true").refused == ()


def test_a_refusal_in_the_background_is_told_with_the_next_command(box: Sandbox) -> None:
    box.start("perl -e 1")
    assert box.run("sleep 0.3").refused == ("/usr/bin/perl",)


@pytest.mark.parametrize(
    "forged",
    ["echo 'bash: /usr/bin/git: Permission denied'", "echo 'cat: /etc/passwd: Permission denied'",
     "echo 'x: Permission denied' >&2; exit 126", "printf 'a\\0b: Permission denied\\n'",
     "touch ours; chmod +x ours; echo './ours: Permission denied'",
     "python3 -c 'import os; os.mkfifo(\"p\", 0o777)'; chmod 777 p; echo './p: Permission denied'",
     "yes 'ls: Permission denied' | head -c 1000000",
     "python3 -c 'print(\"/\" * 100000 + \": Permission denied\")'",
     "chmod 0 /workspace; ls; cat x; chmod 755 /workspace",
     "echo text > private; chmod 0 private; cat private"],
)  # fmt: skip
def test_words_alone_get_nothing_reported(forged: str, box: Sandbox) -> None:
    assert box.run(forged).refused == ()
    assert box.run("echo $((6*7))").stdout == b"42\n"


def test_names_that_take_long_to_look_at_hold_nothing_up(box: Sandbox) -> None:
    """Each directory of the PATH is a chain of links as long as the kernel follows."""
    chain = """
import os
os.makedirs("/tmp/long/d"); os.chdir("/tmp/long")
for i in range(39): os.symlink("./" * 1900 + (f"l{i - 1}" if i else "d"), f"l{i}")
"""
    assert box.run("python3 -", stdin=chain.encode()).exit_code == 0
    name = "/tmp/long/l38"
    slow = f"PATH=$PATH{f':{name}' * 60}; for i in {{1..60}}; do "
    slow += "echo w$i: v$i: u$i: t$i: s$i: Permission denied; done"
    assert box.run(slow).ending is Ending.EXITED
