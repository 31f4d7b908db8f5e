"""Honest commands in a real sandbox: the kernel refuses none of their programs."""

import json

import pytest
import yaml

from checkout import ROOT
from escape.conftest import Standing

pytestmark = pytest.mark.slow

HERE = ROOT / "tests/policies/commands"
# What stands about in a repository, so that the commands find something to work on.
SETTING = r"""
git init -q . && git config user.name a && git config user.email a@b
mkdir -p src tests sub .venv/bin build; echo 'x = 1' | tee a.py x.py src/a.py > setup.py
printf 'a\nb\n' | tee a b f file in a.txt x.txt > g; echo '{"a": {"b": 1}}' > f.json
printf 'all:\n\ttrue\n' | tee sub/Makefile > Makefile; echo 'int main(){return 0;}' > a.c
printf '#!/bin/bash\necho ran\n' | tee run.sh > configure; chmod +x configure
echo 'def test_a(): pass' > tests/test_a.py; : > .venv/bin/activate
git add -A && git commit -qm first && git commit -q --allow-empty -m second
"""
DRIVER = r"""
import concurrent.futures, json, os, shutil, signal, subprocess, sys
def one(job):
    number, text = job
    room = f"/tmp/honest/{number}"
    shutil.copytree("/tmp/setting", room, symlinks=True)
    said = {**os.environ, "dir": ".", "out": "out"}  # as a script's lines before have them
    end = subprocess.Popen(["bash", "-c", text], cwd=room, env=said, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        said = end.communicate(timeout=8)[0]
    except subprocess.TimeoutExpired:
        said = b"(goes on)"
    try:
        os.killpg(end.pid, signal.SIGKILL)
    except OSError:
        pass
    return end.wait(), said.decode("utf-8", "replace")[-2000:]
with concurrent.futures.ThreadPoolExecutor(12) as pool:
    print(json.dumps(list(pool.map(one, enumerate(json.load(sys.stdin))))))
"""
# kill -9 %1 and the like are the shell's; 126 is what bash says of a program that may not run.
REFUSED = ("Permission denied", "Operation not permitted", "cannot execute")

FILES = {
    # Of those, how large a part ends well. Builds ask for a network, projects and tools that are
    # not there.
    "honest": 0.75,
    "honest_builds": 0.6,
    "honest_scripts": 0.7,
}
WANTED = {"if [[ \"${RUNNER_OS:-Linux}\" == 'Linux' ]]; then ulimit -c unlimited; fi"}
"""A core goes to whatever program the host's kernel names for it, outside of every container."""


@pytest.mark.parametrize("name", FILES)
def test_no_honest_command_is_refused_by_the_kernel(standing: Standing, name: str) -> None:
    commands: list[str] = yaml.safe_load((HERE / f"{name}.yaml").read_text("utf-8"))
    box = standing("default")
    made = box.run(
        "rm -rf /tmp/setting /tmp/honest && mkdir -p /tmp/setting /tmp/honest && cd /tmp/setting\n"
        + SETTING
    )
    assert made.exit_code == 0, made.stderr
    box.write_file("/tmp/honest.py", DRIVER.encode())
    result = box.run("python3 /tmp/honest.py", stdin=json.dumps(commands).encode(), timeout_s=110)
    ended = json.loads(box.read_file(result.out.spill) if result.out.spill else result.stdout)
    assert len(ended) == len(commands) >= 100
    refused = {
        command: said
        for command, (code, said) in zip(commands, ended, strict=True)
        if code == 126 or any(mark in said for mark in REFUSED)
    }
    assert refused.keys() == WANTED & set(commands), refused
    # They did work: most end well, and the rest ask for what is not there.
    assert sum(code == 0 for code, _ in ended) > len(commands) * FILES[name]


def test_every_file_of_honest_commands_is_tried() -> None:
    assert {file.stem for file in HERE.glob("honest*.yaml")} == set(FILES)
