#!/bin/sh
# swebench 5.0.2 can't grade a correct patch to a file that is not UTF-8, in whatever form the patch is handed in.
#
# One would expect it to: `git apply` takes the patch in git's ASCII-only binary form, which JSON carries
# unharmed, and the harness decodes the tests' own output with errors="replace", since "a stray non-UTF-8 byte
# must not kill the run" (its words).
#
# What happens: after the patch was applied, and before any test runs, run_instance logs what `git diff` says
# and decodes that strictly. git shows changed lines, and three lines on either side, as the bytes they are; a
# single Latin-1 letter among them raises UnicodeDecodeError. The instance has no report and counts as an
# error, which the summary adds to those that were not resolved. Nothing in the predictions can prevent it.
#
# Seen on 2026-11-29 (the engine's part is played by a temporary repository on this machine):
#   >>>>> Applied Patch
#   'utf-8' codec can't decode byte 0xe9 in position 113: invalid continuation byte
#   report: none
#
# It matters to whoever compares agents: old C, Java and PHP trees are full of such files, an honest fix there
# is scored as a failure, and the log names the harness as the cause only to who opens it.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check swebench==5.0.2 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git init -q "$tmp/repo"
cd "$tmp/repo"
printf 'caf\351 au lait\nprice: 3\n' >menu.txt
git add .
git -c user.name=x -c user.email=x@example.org commit -qm baseline
sed -i 's/price: 3/price: 4/' menu.txt 2>/dev/null || LC_ALL=C sed -i '' 's/price: 3/price: 4/' menu.txt
echo '* -diff' >"$tmp/attributes"
git -c core.attributesFile="$tmp/attributes" diff --binary >"$tmp/patch"
git checkout -q .

cd "$tmp"
"$tmp/venv/bin/python" - "$tmp/repo" "$tmp/patch" <<'PY_END'
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import docker
from swebench.harness import run_evaluation

repo, patch = Path(sys.argv[1]), Path(sys.argv[2])


class Container:
    """Runs what it is told in the repository, as the image's own container would in its /testbed."""

    id = "stand-in"

    def start(self):
        pass

    def exec_run(self, command, workdir=None, user=None):
        words = shlex.split(command) if isinstance(command, str) else command
        words = [str(patch) if word == "/tmp/patch.diff" else word for word in words]
        done = subprocess.run(words, cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return SimpleNamespace(exit_code=done.returncode, output=done.stdout)


def none_there(name):
    raise docker.errors.NotFound(name)


containers = SimpleNamespace(get=none_there, create=lambda **options: Container())
client = SimpleNamespace(images=SimpleNamespace(get=lambda name: name), containers=containers)
run_evaluation.copy_to_container = lambda *where: None
run_evaluation.cleanup_container = lambda *what: None
spec = run_evaluation.make_test_spec(
    dict(instance_id="a__b-1", image="x", repo="a/b", version="1", FAIL_TO_PASS=[], PASS_TO_PASS=[],
         log_parser="parse_log_pytest", eval_type="pass_and_fail", eval_script="true")
)
text = patch.read_text("ascii")
prediction = {"instance_id": "a__b-1", "model_name_or_path": "m", "model_patch": text}
report = run_evaluation.run_instance(spec, prediction, client, "r")
log = Path("logs/run_evaluation/r/m/a__b-1/run_instance.log").read_text()
applied = ">>>>> Applied Patch" in log
said = [line.rpartition("a__b-1: ")[2] for line in log.splitlines() if "codec can't decode" in line]
print(">>>>> Applied Patch" if applied else "not applied", said[0] if said else "no error", sep="\n")
print("report:", "none" if report is None else report)
if not (applied and said and report is None):
    sys.exit("CHANGED: swebench now goes on after a diff that is not UTF-8")
PY_END
