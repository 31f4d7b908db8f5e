#!/bin/sh
# inspect_ai 0.3.285 (with tiktoken 0.14.0): the mock model needs the network, unless each of its outputs says
# how many tokens it used.
#
# One would expect mockllm/model, which is there for tests and answers with what the test gives it, to need
# nothing from outside, so that a task with it runs in a sandbox or in CI without a network.
#
# What happens: where an output has no usage, the mock model counts the tokens of the input and of the output
# itself, with the encoding of a real tokenizer, and that encoding is not in the package: it is downloaded on
# first use. Without a network the sample ends in an error about a connection. With the file in its cache, left
# there by some earlier run, all is well, so that the same test passes on one machine and fails on the next.
#
# Seen on 2026-11-29, without a way out and with an empty cache (usage in the output, status, error):
#   without usage: error ProxyError
#   with usage:    success None
#
# It matters to whoever tests an agent's scaffold with Inspect: the tests of a sandbox are the ones to be run
# without a network, and there a test that never meets a model fails as if one could not be reached. An output
# with a ModelUsage, of any numbers, is what helps.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check inspect_ai==0.3.285 tiktoken==0.14.0 2>"$tmp/pip.log" ||
	{ cat "$tmp/pip.log"; exit 1; }

# Nothing listens on the discard port; a connection there is refused at once.
export HTTPS_PROXY=http://127.0.0.1:9 https_proxy=http://127.0.0.1:9 NO_PROXY= no_proxy=
export TIKTOKEN_CACHE_DIR="$tmp/cache" INSPECT_LOG_DIR="$tmp/logs" INSPECT_DISPLAY=none
"$tmp/venv/bin/python" - <<'PY_END'
import sys
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import includes
from inspect_ai.solver import generate


def run(usage):
    output = ModelOutput.from_content("mockllm/model", "four")
    output.usage = usage
    model = get_model("mockllm/model", custom_outputs=[output], memoize=False)
    task = Task(dataset=[Sample(input="2 + 2?", target="four")], solver=generate(), scorer=includes())
    log = eval(task, model=model)[0]
    return log.status, log.error and log.error.message.split("(")[0]


without = run(None)
given = run(ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2))
print("without usage:", *without)
print("with usage:   ", *given)
if given[0] != "success":
    sys.exit("CHANGED: an output with a usage no longer runs without a network")
if without not in (("error", "ProxyError"), ("error", "ConnectionError")):
    sys.exit("CHANGED: the mock model no longer downloads an encoding")
PY_END
