#!/bin/sh
# openai-agents 0.24.0: of two hunks with the same header, apply_diff ignores the second header, and puts the hunk into
# another function, as a success.
#
# One would expect "@@     def close(self):" to lead to the next line of that text below the hunk before. That is what
# the header of the form that models write their patches in (V4A) is for, and with any other name it does.
#
# What happens: a header is looked for below the last hunk only if no line above is the same. Where one is, the header
# counts as found and nothing is skipped, so that the hunk goes to the first place below the last hunk where its lines
# fit. A hunk that only adds has no such lines, and is added right behind the last one. A header that is not found at
# all is passed over in the same way; only two in a row, such as "@@ class Writer:" above the other, are looked for in
# earnest.
#
# Seen on 2026-11-29 (in which method each hunk's new line stands; both say "@@     def close(self):", the first has
# "self.flush()" of Reader.close, the second ...):
#   replaces "self.count = 0" of Writer.close:  Reader.close, Reader.reset
#   adds a line to Writer.close:                Reader.close, Reader.close
#   adds a line, below "@@ class Writer:":      Reader.close, Writer.close
#
# It matters to whoever has agents edit by the SDK's apply_patch tool: methods of one name are what classes have, and
# one change to each of two is what is asked for. The file is still valid code, the tool's result says that the patch
# was applied, and the method that had to change has not.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check openai-agents==0.24.0 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

"$tmp/venv/bin/python" - <<'PY_END'
import ast, sys
from agents import apply_diff

FILE = """\
class Reader:
    def close(self):
        self.flush()

    def reset(self):
        self.count = 0


class Writer:
    def close(self):
        self.count = 0
"""
FIRST = """\
@@     def close(self):
-        self.flush()
+        self.flush(first)
"""
REPLACES = """\
@@     def close(self):
-        self.count = 0
+        self.count = second
"""
ADDS = """\
@@     def close(self):
+        self.log(second)
"""


def places(patch):
    """The methods with the new lines, by the names that stand in those."""
    found = {}
    for scope in ast.parse(apply_diff(FILE, patch)).body:
        for method in scope.body:
            for name in ast.walk(method):
                if isinstance(name, ast.Name) and name.id in {"first", "second"}:
                    found[name.id] = f"{scope.name}.{method.name}"
    return found["first"], found["second"]


changed = False
for what, patch, expected in (
    ('replaces "self.count = 0" of Writer.close: ', FIRST + REPLACES, "Reader.reset"),
    ("adds a line to Writer.close:               ", FIRST + ADDS, "Reader.close"),
    ('adds a line, below "@@ class Writer:":     ', FIRST + "@@ class Writer:\n" + ADDS, "Writer.close"),
):
    seen = places(patch)
    print(what, *seen)
    changed |= seen != ("Reader.close", expected)
if changed:
    sys.exit("CHANGED: the second header now leads to the next method of that name")
PY_END
