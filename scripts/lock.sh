#!/bin/sh
# Writes constraints.txt: every package of a run and of development, with the hash of each file the
# public registry serves for it. No address gets into it, and no folder of this machine takes part.
set -eu
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
.venv/bin/python -m venv "$work/venv"
"$work/venv/bin/pip" install -qq --disable-pip-version-check pip-tools
cp constraints.txt "$work/constraints.txt" 2>/dev/null || true
# The configuration files and PIP_FIND_LINKS may name local folders with builds of their own. The
# registry itself may be configured by environment (PIP_INDEX_URL, PIP_CERT): that is kept.
compile() {
    env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null \
        "$work/venv/bin/pip-compile" --quiet --no-config --no-header --no-emit-options \
        --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --annotation-style line \
        --generate-hashes --strip-extras "$@"
}
# Ray is 300 MB: whoever wants it takes the second file, in which all else is as in the first. What
# Inspect reads S3 with wants another botocore than the extra `bedrock`: it has a file of its own.
extras=$(.venv/bin/python -c 'import tomllib
extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]
print(*(f"--extra {name}" for name in extras if name not in {"ray", "inspect"}))')
compile $extras --build-deps-for wheel --allow-unsafe "$@" \
    --output-file "$work/constraints.txt" pyproject.toml
cp constraints-ray.txt "$work/constraints-ray.txt" 2>/dev/null || true
(cd "$work" && cp "$OLDPWD/pyproject.toml" . && compile --extra ray "$@" \
    --constraint constraints.txt --output-file constraints-ray.txt pyproject.toml)
cp constraints-inspect.txt "$work/constraints-inspect.txt" 2>/dev/null || true
awk '/^[a-z]/ {kept = !/^(boto3|botocore|s3transfer)==/} kept' "$work/constraints.txt" \
    >"$work/without-boto.txt"
compile --extra inspect --extra dev --build-deps-for wheel --allow-unsafe "$@" \
    --constraint "$work/without-boto.txt" --output-file "$work/constraints-inspect.txt" \
    pyproject.toml
sed -i "s| *-c $work/without-boto.txt,*||" "$work/constraints-inspect.txt"
# What a real browser is driven by, for `make test-browser`.
browser=acceptance/browser
cp $browser/packages.in $browser/packages.txt "$work"
(cd "$work" && compile "$@" --output-file packages.txt packages.in)
{
    echo "# What \`make test-browser\` has beside the packages of constraints.txt; written from packages.in, with hashes."
    grep -v '^# What' "$work/packages.txt"
} >$browser/packages.txt
{
    echo "# Written by \`make lock\` from pyproject.toml; \`make lock\` keeps versions that still fit,"
    echo "# \`sh scripts/lock.sh --upgrade\` takes the newest. Hashes are of the public registry's files."
    cat "$work/constraints.txt"
} >constraints.txt
{
    echo "# Written by \`make lock\`: Moonpool with the extra \`ray\`, and what is in constraints.txt at the same"
    echo "# versions. \`pip install --require-hashes -r constraints-ray.txt\`, then Moonpool with --no-deps."
    cat "$work/constraints-ray.txt"
} >constraints-ray.txt
{
    echo "# Written by \`make lock\`: Moonpool with the extra \`inspect\` and what its tests need, at the versions of"
    echo "# constraints.txt but for boto3's. For \`make test-inspect\`, and to install from with hashes."
    cat "$work/constraints-inspect.txt"
} >constraints-inspect.txt
# What the images of Python bring for projects' own commands.
tools=images/recipes/shared
cp $tools/tools.in $tools/tools.txt "$work"
(cd "$work" && compile "$@" --output-file tools.txt tools.in)
{
    echo "# Written by \`make lock\` from tools.in: what a Python project's own commands expect to find, with hashes."
    grep -v '^# Written by' "$work/tools.txt"
} >$tools/tools.txt
