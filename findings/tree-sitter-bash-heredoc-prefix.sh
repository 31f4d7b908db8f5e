#!/bin/sh
# tree-sitter-bash 0.25.1 ends a here-document at any line that merely begins with its delimiter.
#
# One would expect the body to end where the shell ends it: at a line that is the delimiter and nothing else.
#
# What happens: with the delimiter EOF, a body line such as "EOFError: no more input" ends the body, and so does
# "ENDPOINT=/v1" with END or "PYTHONPATH" with PY. The rest of that line and all lines below it are read as
# commands, and the tree has an error, though "bash -n" accepts the script and bash writes the file as meant.
#
# Seen on 2026-11-29 (valid for bash, error in the tree, the commands in the tree):
#   EOF  True True ['cat', 'Error:', 'at', 'EOF']
#   END  True True ['cat', 'retries', 'END']
#   PY   True True ['cat', 'THONPATH', 'PY']
#   STOP True False ['cat']
#
# It matters to whoever judges an agent's commands on this grammar. Agents write files with here-documents all
# day, EOF, END and PY are what they call them, and tracebacks, settings and code are what they put in: such a
# write is refused, or shown for approval as programs that would never run, for a reason that nobody who reads
# the script can see. The last case, with a delimiter that begins no line, is what helps today.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check tree-sitter==0.26.1 tree-sitter-bash==0.25.1 2>"$tmp/pip.log" ||
	{ cat "$tmp/pip.log"; exit 1; }

"$tmp/venv/bin/python" - <<'PY_END'
import subprocess, sys
import tree_sitter, tree_sitter_bash

parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
BODY = {
    "EOF": "Traceback\nEOFError: no more input\nat line 3",
    "END": "# settings\nENDPOINT=/v1\nretries 3",
    "PY": "import os\nPYTHONPATH",
    "STOP": "Traceback\nEOFError: no more input\nat line 3",
}


def commands(node):
    if node.type == "command_name":
        yield node.text.decode()
    for child in node.children:
        yield from commands(child)


ended_early = {}
for word, body in BODY.items():
    script = f"cat > note.txt <<'{word}'\n{body}\n{word}\n".encode()
    valid = subprocess.run(["bash", "-n"], input=script).returncode == 0
    tree = parser.parse(script).root_node
    print(f"{word:4}", valid, tree.has_error, list(commands(tree)))
    assert valid, "bash refuses the script"
    ended_early[word] = tree.has_error and len(list(commands(tree))) > 1
if ended_early != {"EOF": True, "END": True, "PY": True, "STOP": False}:
    sys.exit("CHANGED: the grammar now wants the delimiter alone on its line")
PY_END
