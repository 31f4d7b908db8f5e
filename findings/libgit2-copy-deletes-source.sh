#!/bin/sh
# pygit2 1.21.0 (libgit2 1.9.7): applying a patch in which a file is copied deletes the file that it is copied from, and
# gives the copy lines that it does not have. Both count as a success.
#
# One would expect what "git apply" does with "copy from util.py" and "copy to util_old.py": the copy is made of util.py
# as it was before the patch, and util.py is left as it is, or gets its own hunks.
#
# What happens: Repository.apply() to the working tree, alone or with the index, treats a copy as it treats a rename, so
# util.py is gone; to the index alone it is not. Where the same patch also changes util.py, which is the one case in which
# plain "git diff -C" looks for copies at all, util.py stays, and the copy is made of what the hunks before have made of
# it. The order in a git diff says nothing: by its format each old side is a file as it was before the patch.
#
# Seen on 2026-11-29 (the files afterwards, each with its lines):
#   copy, working tree:       util_old.py 1 2 3
#   copy, index and tree:     util_old.py 1 2 3
#   copy, index:              util.py 1 2 3, util_old.py 1 2 3
#   copy, git apply:          util.py 1 2 3, util_old.py 1 2 3
#   edit and copy, libgit2:   util.py 1 TWO 3, util_old.py 1 TWO 3
#   edit and copy, git apply: util.py 1 TWO 3, util_old.py 1 2 3
#
# It matters to whoever applies agents' patches without a git program, which is what libgit2 is for: "keep the old one as
# util_old.py and mend util.py" arrives as two mended files, or with a file less, and no exception says so. The same
# change is applied as it should be from a diff that was made with --no-renames.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check pygit2==1.21.0 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git init -q "$tmp/repo"
cd "$tmp/repo"
printf '1\n2\n3\n' >util.py
git add .
git -c user.name=x -c user.email=x@example.org commit -qm baseline
cp util.py util_old.py
git add .
git diff --cached -C --find-copies-harder >"$tmp/copy.patch"
printf '1\nTWO\n3\n' >util.py
git add .
git diff --cached -C >"$tmp/edit.patch"
git diff --cached --no-renames >"$tmp/plain.patch"
grep -q '^copy to util_old.py' "$tmp/copy.patch"
grep -q '^copy to util_old.py' "$tmp/edit.patch"

"$tmp/venv/bin/python" - "$tmp" <<'PY_END'
import subprocess, sys
from pathlib import Path

import pygit2
from pygit2.enums import ApplyLocation

tmp = Path(sys.argv[1])


def git(*words):
    subprocess.run(["git", *words], check=True)


def applied(patch, how):
    git("reset", "-q", "--hard")
    git("clean", "-qfd")
    if how is None:
        git("apply", "--index", str(patch))
    else:
        pygit2.Repository(".").apply(pygit2.Diff.parse_diff(patch.read_bytes()), how)
    if how is ApplyLocation.INDEX:
        git("checkout-index", "-qfa")
    return ", ".join(" ".join([path.name, *path.read_text().split()]) for path in sorted(Path().glob("*.py")))


COPIED, EDITED = "util.py 1 2 3, util_old.py 1 2 3", "util.py 1 TWO 3, util_old.py 1 "
changed = False
for what, patch, how, expected in (
    ("copy, working tree:      ", "copy.patch", ApplyLocation.WORKDIR, "util_old.py 1 2 3"),
    ("copy, index and tree:    ", "copy.patch", ApplyLocation.BOTH, "util_old.py 1 2 3"),
    ("copy, index:             ", "copy.patch", ApplyLocation.INDEX, COPIED),
    ("copy, git apply:         ", "copy.patch", None, COPIED),
    ("edit and copy, libgit2:  ", "edit.patch", ApplyLocation.BOTH, EDITED + "TWO 3"),
    ("edit and copy, git apply:", "edit.patch", None, EDITED + "2 3"),
    ("--no-renames, libgit2:   ", "plain.patch", ApplyLocation.BOTH, EDITED + "2 3"),
):
    seen = applied(tmp / patch, how)
    print(what, seen)
    changed |= seen != expected
if changed:
    sys.exit("CHANGED: libgit2 now copies as git does")
PY_END
