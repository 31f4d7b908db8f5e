#!/bin/sh
# dulwich 1.2.21 applies the half of a hunk that stands before a blank line, and reports success.
#
# One would expect `dulwich apply` to apply a hunk whole or to refuse it, as `git apply` does.
#
# What happens: with diff.suppressBlankEmpty=true, git writes a blank line of context as an empty line, without the
# space that marks context (GNU diff has --suppress-blank-empty, and whoever strips trailing blanks from a patch makes
# the same). dulwich takes a hunk to end at the first line that does not begin with a space, "+", "-" or "\", does not
# compare what it has read with the counts in the hunk's header, and goes on as if the rest were no part of the patch.
# What is left of the hunk fits the file, so it is applied, to the file and to the index, and the exit status is 0.
#
# Seen on 2026-11-29 (a hunk that changes line 2 and, behind a blank line, line 4):
#   git apply:     one TWO - FOUR five   exit 0
#   dulwich apply: one TWO - four five   exit 0
#
# It matters to whoever applies an agent's patches with dulwich because it needs no git: what arrives is a mixture that
# neither side ever had, nothing says so, and whether it happens depends on a setting of the machine that made the patch.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check dulwich==1.2.21 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null HOME="$tmp"
git init -q "$tmp/repo"
cd "$tmp/repo"
printf 'one\ntwo\n\nfour\nfive\n' >list.txt
git add .
git -c user.name=x -c user.email=x@example.org commit -qm baseline
printf 'one\nTWO\n\nFOUR\nfive\n' >list.txt
git -c diff.suppressBlankEmpty=true diff >"$tmp/patch"
grep -q '^$' "$tmp/patch"

applied() {
    name=$1
    shift
    git reset -q --hard
    status=0
    "$@" || status=$?
    echo "$name: $(sed 's/^$/-/' list.txt | tr '\n' ' ') exit $status" | tee -a "$tmp/seen"
}
applied "git apply" git apply "$tmp/patch"
applied "dulwich apply" "$tmp/venv/bin/dulwich" apply "$tmp/patch"

cat >"$tmp/expected" <<'EXPECTED_END'
git apply: one TWO - FOUR five  exit 0
dulwich apply: one TWO - four five  exit 0
EXPECTED_END
cmp -s "$tmp/seen" "$tmp/expected" || { echo "CHANGED: dulwich no longer applies half of the hunk"; exit 1; }
