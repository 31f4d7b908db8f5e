#!/bin/sh
# patch-ng 1.19.1 applies a diff without context lines, puts new lines one line too high, and reports success.
#
# One would expect a diff that "git diff -U0" wrote to be applied as "git apply --unidiff-zero" does it, or to be
# refused, as plain "git apply" refuses it.
#
# What happens: a hunk that only adds lines, such as "@@ -2,0 +3 @@", means "after line 2". The library takes it
# for "at line 2", so that the addition lands above line 2, and apply() returns True. Hunks that remove or
# replace lines, in the same file and the same diff, come out right, so that a first look is reassuring.
#
# Seen on 2026-11-29, where a guard was to be added below the "def" line:
#   apply: True
#   patch-ng: ['import os', 'check(path)', 'def remove(path):', 'os.remove(path)']
#   git:      ['import os', 'def remove(path):', 'check(path)', 'os.remove(path)']
#
# It matters to whoever keeps agents' edits as small as they can, which is what -U0 is for, and replays them
# without git: no error is raised, the text is all there, a count of the added lines agrees, and only the order
# of the code is wrong. One line of context (-U1) is enough to be safe.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check patch-ng==1.19.1 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git init -q "$tmp/repo"
cd "$tmp/repo"
printf 'import sys\ndef remove(path):\n    os.remove(path)\n' >tool.py
git add .
mkdir "$tmp/ng" "$tmp/git"
cp tool.py "$tmp/ng"
cp tool.py "$tmp/git"
printf 'import os\ndef remove(path):\n    check(path)\n    os.remove(path)\n' >tool.py
git diff -U0 >"$tmp/patch"
(cd "$tmp/git" && GIT_CEILING_DIRECTORIES="$tmp" git apply --unidiff-zero "$tmp/patch")
cmp -s tool.py "$tmp/git/tool.py"

"$tmp/venv/bin/python" - "$tmp" <<'PY_END'
import os, sys
import patch_ng

tmp = sys.argv[1]
done = patch_ng.fromfile(os.path.join(tmp, "patch")).apply(root=os.path.join(tmp, "ng"))
ng, git = ([line.strip() for line in open(os.path.join(tmp, tree, "tool.py"))] for tree in ("ng", "git"))
print("apply:", done)
print("patch-ng:", ng)
print("git:     ", git)
if not (done is True and sorted(ng) == sorted(git) and ng.index("check(path)") == git.index("check(path)") - 1):
    sys.exit("CHANGED: patch-ng now puts the lines where git does, or refuses")
PY_END
