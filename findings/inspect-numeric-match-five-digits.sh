#!/bin/sh
# inspect_ai 0.3.285: the scorer match(numeric=True) compares no more than the first five digits of two numbers.
#
# One would expect 1000001 to be a wrong answer where the target is 1000000. The documentation says of numeric=True that
# currency signs, thousands separators and marks of emphasis are dropped and the numbers compared, and of a percent sign
# it says in so many words that it is not.
#
# What happens: to see 16.00 and 16 as the same, both numbers are written with five significant digits, and the two
# texts are compared. Whatever differs behind the fifth digit is gone, on either side of the point. The answer in the
# log is the shortened text as well, so that 1.2346e+05 stands there for 123456 and for 123460. Without numeric=True,
# match() tells the numbers apart.
#
# Seen on 2026-11-30 (answer, target, numeric match, answer in the log, match):
#   12345               12346    I 12345      I
#   123456              123460   C 1.2346e+05 I
#   1000001             1000000  C 1e+06      I
#   20261130            20261201 C 2.0261e+07 I
#   100.004             100.001  C 100        I
#   It sums to 1234599. 1234567  C 1.2346e+06 I
#
# It matters to whoever scores sums, counts, dates, balances or line numbers: this is the scorer for numbers, and the
# one that Inspect's tutorial takes for sums. A carry that was lost in a long sum counts as right, and the log
# does not show what the model said in its column for the answer.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check inspect_ai==0.3.285 2>"$tmp/pip.log" ||
	{ cat "$tmp/pip.log"; exit 1; }

"$tmp/venv/bin/python" - <<'PY_END'
import asyncio, sys
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import Target, match
from inspect_ai.solver import TaskState

expected = {
    ("12345", "12346"): ("I", "12345", "I"),
    ("123456", "123460"): ("C", "1.2346e+05", "I"),
    ("1000001", "1000000"): ("C", "1e+06", "I"),
    ("20261130", "20261201"): ("C", "2.0261e+07", "I"),
    ("100.004", "100.001"): ("C", "100", "I"),
    ("It sums to 1234599.", "1234567"): ("C", "1.2346e+06", "I"),
}


async def main():
    changed = False
    for (answer, target), scores in expected.items():
        output = ModelOutput.from_content("mockllm/model", answer)
        state = TaskState(model="mockllm/model", sample_id=1, epoch=1, input="?", messages=[], output=output)
        number = await match(numeric=True)(state, Target(target))
        text = await match()(state, Target(target))
        print(f"{answer:19} {target:8} {number.value} {number.answer:10} {text.value}")
        changed |= (number.value, number.answer, text.value) != scores
    if changed:
        sys.exit("CHANGED: the scorer no longer compares five digits")


asyncio.run(main())
PY_END
