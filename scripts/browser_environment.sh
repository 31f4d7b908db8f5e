#!/bin/sh
# Makes .venv-browser: as .venv, with Playwright's client and axe-core. The browser is the system's
# own Chromium. Costs nothing when nothing changed.
set -eu
cd "$(dirname "$0")/.."
stamp=.venv-browser/moonpool-stamp
wanted=$({ pwd; cat constraints.txt acceptance/browser/pack* scripts/browser_environment.sh; } | sha256sum)
[ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || exit 0
rm -rf .venv-browser
.venv/bin/python -m venv .venv-browser
for file in acceptance/browser/packages.txt constraints.txt; do
    .venv-browser/bin/python -I -m pip install -qq --disable-pip-version-check --require-hashes -r $file
done
.venv-browser/bin/python -I -m pip install -qq --disable-pip-version-check --no-deps \
    --no-build-isolation --editable .
cp acceptance/browser/package.json acceptance/browser/package-lock.json .venv-browser/
(cd .venv-browser && npm ci --silent --ignore-scripts)
printf '%s\n' "$wanted" >"$stamp"
