#!/bin/sh
# Makes .venv-inspect: Inspect, and what Moonpool and its tests need. Costs nothing when nothing changed.
set -eu
cd "$(dirname "$0")/.."
stamp=.venv-inspect/moonpool-stamp
wanted=$({ pwd; cat constraints-inspect.txt pyproject.toml scripts/inspect_environment.sh; } | sha256sum)
[ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || exit 0
rm -rf .venv-inspect
.venv/bin/python -m venv .venv-inspect
.venv-inspect/bin/python -I -m pip install -qq --disable-pip-version-check --require-hashes \
    -r constraints-inspect.txt
.venv-inspect/bin/python -I -m pip install -qq --disable-pip-version-check --no-deps \
    --no-build-isolation --editable .
printf '%s\n' "$wanted" >"$stamp"
