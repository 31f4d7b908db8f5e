#!/bin/sh
# dulwich 1.2.21: `apply --reverse` reports success and leaves a deleted file deleted, and a changed mode changed.
#
# One would expect the reverse of a patch to undo it: a file that the patch removed stands again, and a mode that it
# took away is back. `git apply --reverse` does both.
#
# What happens: only the lines of hunks are turned round. Whether the file is made or removed, under which name, and
# with which mode is still read from the patch as it goes forward. For a deletion the content is put together from the
# hunk, and then the file is removed, as the patch says, though it is not there; for a change of mode the new mode is
# set once more. Both end with exit status 0 and no message. The reverse of a patch that adds a file is refused.
#
# Seen on 2026-11-29 (a patch that deletes gone.txt and takes the executable bit of run.sh, already applied):
#   git apply --reverse:     gone.txt there     run.sh 755   exit 0
#   dulwich apply --reverse: gone.txt missing   run.sh 644   exit 0
#
# It matters to whoever takes an agent's patch back, after a failed check say: "undone" then means that edits went back
# and deletions stayed, and the tree that everybody goes on with is neither the old one nor the new one.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check dulwich==1.2.21 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null HOME="$tmp"
git init -q "$tmp/repo"
cd "$tmp/repo"
git config user.name x
git config user.email x@example.org
git config core.fileMode true
echo 'something' >gone.txt
printf '#!/bin/sh\necho ran\n' >run.sh
chmod 755 run.sh
git add .
git commit -qm before
git rm -q gone.txt
chmod 644 run.sh
git commit -qam after
git diff HEAD~ HEAD >"$tmp/patch"

undone() {
    name=$1
    shift
    git reset -q --hard
    git clean -qfd
    status=0
    "$@" || status=$?
    there=missing
    [ ! -e gone.txt ] || there=there
    mode=644
    [ ! -x run.sh ] || mode=755
    echo "$name: gone.txt $there, run.sh $mode, exit $status" | tee -a "$tmp/seen"
}
undone "git apply --reverse" git apply --reverse "$tmp/patch"
undone "dulwich apply --reverse" "$tmp/venv/bin/dulwich" apply --reverse "$tmp/patch"

cat >"$tmp/expected" <<'EXPECTED_END'
git apply --reverse: gone.txt there, run.sh 755, exit 0
dulwich apply --reverse: gone.txt missing, run.sh 644, exit 0
EXPECTED_END
cmp -s "$tmp/seen" "$tmp/expected" || { echo "CHANGED: dulwich no longer leaves these as they are"; exit 1; }
