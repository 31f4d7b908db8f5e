#!/bin/sh
# The project's main job on a small repository with two bugs. Only the model's words may be recorded.
set -eu
cd "$(dirname "$0")/.."

script=examples/calculator.script.yaml
if [ -n "${ANTHROPIC_API_KEY:-}" ]; then
    echo "demo: ANTHROPIC_API_KEY is set, so the model is asked for real"
    set --
else
    echo "demo: no ANTHROPIC_API_KEY, so the model's words are a recording ($script); all else is real"
    set -- -m "script:$script"
fi
sh scripts/setup.sh
sh scripts/engine.sh
.venv/bin/moonpool run "Make the failing tests pass, without changing a test." \
    -w examples/calculator -p default --verify "pytest -q" "$@"
echo
.venv/bin/moonpool show last --patch
