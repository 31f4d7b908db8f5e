#!/bin/sh
# Makes .venv-ray: as .venv, with Ray and what tests need. Costs nothing when nothing changed.
set -eu
cd "$(dirname "$0")/.."
stamp=.venv-ray/moonpool-stamp
wanted=$({ pwd; cat constraints.txt constraints-ray.txt scripts/ray_environment.sh; } | sha256sum)
[ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || exit 0
rm -rf .venv-ray
.venv/bin/python -m venv .venv-ray
for file in constraints-ray.txt constraints.txt; do
    .venv-ray/bin/python -I -m pip install -qq --disable-pip-version-check --require-hashes -r $file
done
.venv-ray/bin/python -I -m pip install -qq --disable-pip-version-check --no-deps \
    --no-build-isolation --editable .
printf '%s\n' "$wanted" >"$stamp"
