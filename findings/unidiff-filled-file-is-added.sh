#!/bin/sh
# unidiff 1.0.1 calls a file "added" when a patch fills a file that was empty before, and "removed" when a
# patch empties a file that stays.
#
# One would expect is_added_file and is_removed_file to follow what git wrote: "new file mode" or
# "--- /dev/null" for a file that appears, "deleted file mode" or "+++ /dev/null" for one that goes.
#
# What happens: the two properties also look at the first line numbers of a file's only hunk. A hunk that
# begins with "-0,0" makes the file "added", one with "+0,0" makes it "removed", although both names are given
# and there is no mode line. Three ordinary changes have such a hunk: code written into an empty __init__.py,
# a log that is truncated, and, in a diff made with -U0, the removal of a file's first line. In the last case
# even a file with lines left counts as removed.
#
# Seen on 2026-11-29 (git status letter, path, what unidiff says):
#   M log.txt removed
#   M notes.txt removed
#   M pkg/__init__.py added
#
# It matters to whoever reviews, filters or scores an agent's patch with this library: a rule such as "no
# deletions" or "new files need a licence header" fires on honest edits, and a tool that deletes what
# removed_files lists would delete files that the patch keeps.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check unidiff==1.0.1 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
git init -q "$tmp/repo"
cd "$tmp/repo"
mkdir pkg
: >pkg/__init__.py
echo started >log.txt
printf 'one\ntwo\nthree\n' >notes.txt
git add .
echo 'VERSION = "1"' >pkg/__init__.py
: >log.txt
printf 'two\nthree\n' >notes.txt
git diff --no-renames -U0 >"$tmp/patch"
git diff --name-status >"$tmp/status"

"$tmp/venv/bin/python" - "$tmp/patch" "$tmp/status" <<'PY_END'
import sys
from unidiff import PatchSet

patch, status = sys.argv[1:]
letters = dict(reversed(line.rstrip("\n").split("\t")) for line in open(status))
seen = set()
for file in PatchSet(open(patch, newline="")):
    says = "added" if file.is_added_file else "removed" if file.is_removed_file else "modified"
    assert "/dev/null" not in (file.source_file, file.target_file), "git no longer writes both names"
    seen.add(f"{letters[file.path]} {file.path} {says}")
print("\n".join(sorted(seen)))
if seen != {"M log.txt removed", "M notes.txt removed", "M pkg/__init__.py added"}:
    sys.exit("CHANGED: unidiff now tells filled and emptied files from added and removed ones")
PY_END
