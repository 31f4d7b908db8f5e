#!/bin/sh
# Makes .venv: the packages pinned in constraints.txt, and this checkout in editable form.
# Costs nothing when nothing changed. PYTHON names another interpreter than the first that fits.
set -eu
cd "$(dirname "$0")/.."

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 3
}

fits() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

python=
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 /usr/bin/python3}; do
    if fits "$candidate"; then
        python=$candidate
        break
    fi
done
[ -n "$python" ] || fail "no Python 3.11 or later found: install it, or set PYTHON to one"

# The folder takes part: scripts in a venv hold its path, so a moved checkout needs a new one.
origin=$(pwd; "$python" -c 'import sys; print(sys.version, sys.base_prefix)')
stamp=.venv/moonpool-stamp
wanted=$({ echo "$origin"; cat constraints.txt pyproject.toml scripts/setup.sh; } | sha256sum)
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
    # Debian splits these off. Only its own interpreter gets them from its package.
    system=$("$python" -c 'import sys; print(sys.base_prefix == "/usr")')
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$system" = True ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "setup: installing python$version-venv"
        export DEBIAN_FRONTEND=noninteractive DEBCONF_NOWARNINGS=yes
        apt-get update -qq || fail "apt-get update failed: see above"
        apt-get install -qq -y --no-install-recommends "python$version-venv" >/dev/null ||
            fail "apt-get could not install python$version-venv: see above"
    else
        fail "$python has no venv module: install it (on Debian as root: apt-get install python$version-venv)"
    fi
fi

if [ ! -x .venv/bin/python ] || [ "$(cat .venv/moonpool-origin 2>/dev/null)" != "$origin" ]; then
    echo "setup: making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
    printf '%s\n' "$origin" >.venv/moonpool-origin
fi
# -qq: a pip configured with folders that are not there warns about each for each package.
echo "setup: installing $(grep -c '==' constraints.txt) pinned packages"
.venv/bin/python -I -m pip install -qq --disable-pip-version-check --require-hashes \
    -r constraints.txt || fail "pip could not install the pinned packages: see above"
.venv/bin/python -I -m pip install -qq --disable-pip-version-check --no-deps \
    --no-build-isolation --editable . || fail "pip could not install this checkout: see above"
printf '%s\n' "$wanted" >"$stamp"
