#!/bin/sh
# swebench 5.0.2 (with pytest 9.2.0): a patch that also mends what a test was expected to fail for is not resolved.
#
# One would expect a test that passes to count as one that passes. The harness takes XFAIL for a pass, since the test
# fails where it should, and by its own words counts a failing test that now passes as extra credit.
#
# What happens: pytest says XPASS in its summary of a test that is marked xfail and passes all the same, and ends with
# status 0; only with strict=True is that a failure, and then the summary says FAILED. The harness knows the words
# PASSED, FAILED, SKIPPED, ERROR and XFAIL. A line with XPASS is passed over, so the test has no status, and a test of
# PASS_TO_PASS without one has failed.
#
# Seen on 2026-11-30 (pytest's exit status, what its summary says of the xfail test, how the harness counts that test,
# resolved; the reference patch mends divide(), the other one remainder() as well):
#   reference patch: 0 XFAIL success True
#   the other patch: 0 XPASS failure False
#
# It matters to whoever compares agents: PASS_TO_PASS is made of what passes before and after the reference patch, by
# the same reading, so that it has a repository's xfail tests. Who mends the cause where the reference mends a symptom
# gets a no for it, with a regression as the reason. The same happens where a newer library in the image lets such a
# test pass, and then to every patch.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check swebench==5.0.2 pytest==9.2.0 2>"$tmp/pip.log" ||
	{ cat "$tmp/pip.log"; exit 1; }

mkdir "$tmp/repo"
cd "$tmp/repo"
cat >test_calc.py <<'TEST_END'
import pytest
from calc import divide, remainder


def test_divide():
    assert divide(-7, 2) == -4


@pytest.mark.xfail(reason="rounds towards zero")
def test_remainder():
    assert remainder(-7, 2) == 1
TEST_END

"$tmp/venv/bin/python" - <<'PY_END'
import re, subprocess, sys
from pathlib import Path

from swebench.harness.constants import END_TEST_OUTPUT, START_TEST_OUTPUT
from swebench.harness.grading import get_eval_report
from swebench.harness.run_evaluation import make_test_spec

spec = make_test_spec(
    dict(instance_id="a__b-1", image="x", repo="a/b", version="1", FAIL_TO_PASS=["test_calc.py::test_divide"],
         PASS_TO_PASS=["test_calc.py::test_remainder"], log_parser="parse_log_pytest", eval_type="pass_and_fail",
         eval_script="true")
)
changed = False
for what, remainder, expected in (
    ("reference patch:", "a - int(a / b) * b", (0, "XFAIL", "success", True)),
    ("the other patch:", "a % b", (0, "XPASS", "failure", False)),
):
    functions = "def divide(a, b):\n    return a // b\n\n\ndef remainder(a, b):\n    return "
    Path("calc.py").write_text(f"{functions}{remainder}\n")
    command = [sys.executable, "-B", "-m", "pytest", "-rA", "-p", "no:cacheprovider"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    Path("log").write_text(f"{START_TEST_OUTPUT}\n{done.stdout}\n{END_TEST_OUTPUT}\n")
    prediction = {"instance_id": "a__b-1", "model_name_or_path": "m", "model_patch": "x"}
    report = get_eval_report(spec, prediction, "log", include_tests_status=True)["a__b-1"]
    (counted,) = [how for how, tests in report["tests_status"]["PASS_TO_PASS"].items() if tests]
    (said,) = re.findall(r"^(\w+) test_calc.py::test_remainder", done.stdout, re.M)
    seen = (done.returncode, said, counted, report["resolved"])
    print(what, *seen)
    changed |= seen != expected
if changed:
    sys.exit("CHANGED: an unexpected pass is now counted in another way")
PY_END
