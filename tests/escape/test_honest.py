"""Honest commands in a real sandbox: the kernel refuses none of their programs."""

import json

import pytest
import yaml

from checkout import ROOT
from escape.conftest import Standing

COMMANDS: list[str] = yaml.safe_load(
    (ROOT / "tests/policies/commands/honest.yaml").read_text("utf-8")
)
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
    end = subprocess.Popen(["bash", "-c", text], cwd=room, stdin=subprocess.DEVNULL,
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


@pytest.mark.slow
def test_no_honest_command_is_refused_by_the_kernel(standing: Standing) -> None:
    box = standing("default")
    made = box.run(f"mkdir -p /tmp/setting /tmp/honest && cd /tmp/setting\n{SETTING}")
    assert made.exit_code == 0, made.stderr
    box.write_file("/tmp/honest.py", DRIVER.encode())
    result = box.run("python3 /tmp/honest.py", stdin=json.dumps(COMMANDS).encode(), timeout_s=110)
    ended = json.loads(box.read_file(result.out.spill) if result.out.spill else result.stdout)
    assert len(ended) == len(COMMANDS) >= 100
    refused = {
        command: said
        for command, (code, said) in zip(COMMANDS, ended, strict=True)
        if code == 126 or any(mark in said for mark in REFUSED)
    }
    assert refused == {}
    # They did work: most end well, and the rest ask for what is not there.
    assert sum(code == 0 for code, _ in ended) > len(COMMANDS) * 3 // 4
