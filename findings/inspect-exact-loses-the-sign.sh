#!/bin/sh
# inspect_ai 0.3.285: the scorers exact() and f1() take the opposite number for the right one.
#
# One would expect an answer of -5 to be wrong where the target is 5. exact() normalizes both sides, and takes care that
# numbers survive that: 5.0 is 5, and the point of 3.14 is kept when punctuation goes.
#
# What happens: before anything is looked at as a number, the text is cut into words at each blank and each hyphen, as
# the reading benchmark does from which the two scorers come. A minus is such a hyphen. What is then taken care of as a
# number has no sign any more, so -5 and 5 are the same, as are 3-2 and "3 2". A sign of + goes with the punctuation. The
# scorer match(numeric=True) keeps signs.
#
# Seen on 2026-11-29 (answer, target, exact, f1, match):
#   5     5    C 1.0 C
#   -5    5    C 1.0 I
#   5     -5   C 1.0 I
#   -0.5  0.5  C 1.0 I
#   -1    +1   C 1.0 I
#
# It matters to whoever scores sums, temperatures, balances, coordinates or log-probabilities with exact(), whose name
# promises more than its normalization holds: a sign error, of which models make many, counts as a right answer, and no
# look at the failed samples shows it.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check inspect_ai==0.3.285 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

"$tmp/venv/bin/python" - <<'PY_END'
import asyncio, sys
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Target, exact, f1, match
from inspect_ai.solver import TaskState

scorers = (exact(), f1(), match(numeric=True))
expected = {
    ("5", "5"): ["C", 1.0, "C"],
    ("-5", "5"): ["C", 1.0, "I"],
    ("5", "-5"): ["C", 1.0, "I"],
    ("-0.5", "0.5"): ["C", 1.0, "I"],
    ("-1", "+1"): ["C", 1.0, "I"],
}


async def main():
    changed = False
    for (answer, target), scores in expected.items():
        output = ModelOutput.from_content("mockllm/model", answer)
        state = TaskState(model="mockllm/model", sample_id=1, epoch=1, input="?", messages=[], output=output)
        found = [(await scorer(state, Target(target))).value for scorer in scorers]
        print(f"{answer:5} {target:4}", *found)
        changed |= found != scores
    if changed:
        sys.exit("CHANGED: the scorers no longer see numbers in this way")


asyncio.run(main())
PY_END
