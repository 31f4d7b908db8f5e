"""Hypothesis strategies: trees of files, and changes that an agent might make to one."""

import os

from hypothesis import strategies as st

from generators.file_trees import World
from sandbox.git.manifest import EXECUTABLE, FILE, SYMLINK

_AWKWARD_NAMES = [
    b"a",
    b"b",
    b"A",
    b"c.txt",
    b"-rf",
    b"--",
    b"with space",
    b" lead",
    b"trail ",
    b" ",
    b"b ",
    b"a b",
    b'" ',
    b'quo"te',
    b"tab\there",
    b"new\nline",
    b"back\\slash",
    b"latin\xe9",
    "ünï".encode(),
    b"\x01\x7f",
    b"a.b",
    b"a-b",
    b".hidden",
    b".gitignore",
    b"=>",
    b"{x => y}",
    b"*",
    b"dev",
    b"null",
    b"cr\r",
]
_names = st.one_of(
    st.sampled_from(_AWKWARD_NAMES),
    st.binary(min_size=1, max_size=6).filter(
        lambda name: not {0, 0x2F} & set(name) and name not in {b".", b".."}
    ),
)
_paths = st.lists(_names, min_size=1, max_size=4).map(b"/".join)
_line = st.sampled_from(
    [
        b"one\n",
        b"two\n",
        b"\n",
        b"crlf\r\n",
        b"lone\rcr\n",
        b"form\x0cfeed\n",
        b"latin \xe9\n",
        "sep\u2028arator\n".encode(),
        b" \t trailing \n",
        b"--- a/x\n",
        b"+++ b/x\n",
        b"@@ -1 +1 @@\n",
        b"diff --git a/x b/x\n",
        b"\\ No newline at end of file\n",
        b"-- \n",
        b"From x\n",
    ]
)
_text = st.builds(
    lambda lines, tail: b"".join(lines) + tail,
    st.lists(_line, max_size=30),
    st.sampled_from([b"", b"", b"no newline", b"\r", b"\xff"]),
)
_content = st.one_of(_text, st.binary(max_size=200), st.just(b""))
_targets = st.one_of(_paths, st.sampled_from([b"../x", b"a/..", b"a\nb", b"-x", b"/etc/passwd"]))
_files = st.one_of(
    st.tuples(st.sampled_from([FILE, FILE, EXECUTABLE]), _content),
    st.tuples(st.just(SYMLINK), _targets),
)


def put(world: World, path: bytes, what: tuple[int, bytes]) -> None:
    """As a file system would have it: what is in the way is gone."""
    above = path
    while above := os.path.dirname(above):
        world.pop(above, None)
    for below in [other for other in world if other.startswith(path + b"/")]:
        del world[below]
    world[path] = what


@st.composite
def worlds(draw: st.DrawFn) -> World:
    world: World = {}
    for path, what in draw(st.lists(st.tuples(_paths, _files), max_size=12)):
        put(world, path, what)
    return world


@st.composite
def pairs(draw: st.DrawFn) -> tuple[World, World]:
    """A tree, and the tree after some edits, moves, deletions and replacements."""
    old = draw(worlds())
    new = dict(old)
    for _ in range(draw(st.integers(1, 8))):
        paths = sorted(new)
        action = draw(st.sampled_from(["put", "edit", "mode", "delete", "move", "turn", "descend"]))
        if action == "put" or not paths:
            put(new, draw(_paths), draw(_files))
            continue
        path = draw(st.sampled_from(paths))
        mode, content = new[path]
        match action:
            case "edit" if mode != SYMLINK:
                cut = draw(st.integers(0, len(content)))
                new[path] = (mode, content[:cut] + draw(_content) + content[cut:])
            case "mode" if mode != SYMLINK:
                new[path] = (EXECUTABLE if mode == FILE else FILE, content)
            case "delete":
                del new[path]
            case "move":
                del new[path]
                put(new, draw(_paths), (mode, content))
            case "turn":
                new[path] = draw(_files)
            case "descend":
                put(new, path + b"/" + draw(_names), draw(_files))
            case _:
                pass
    return old, new
