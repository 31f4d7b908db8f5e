"""Which programs the image holds, and the guest compiled for its Python: run once per image."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import marshal
import os

from sandbox.guest import elf, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sandbox.guest.wire import Outgoing

_SKIPPED = (b"/proc", b"/sys", b"/dev", b"/workspace")
_TYPE = 0o170000
_LINE_LIMIT = 256  # BINPRM_BUF_SIZE: the kernel looks no further into a script
_CHECKING = ast.dump(ast.Name("TYPE_CHECKING", ast.Load()))


def _first_line(head: bytes) -> bytes | None:
    """What the kernel takes from the first line of a script; None: it takes none, a shell reads it.

    A path that is cut by the limit is not started; what follows it may be cut.
    """
    line = head[2:].split(b"\n", 1)[0].strip(b" \t")
    if len(head) == _LINE_LIMIT and b"\n" not in head and not line.split(None, 1)[1:]:
        return None
    return line or None


class _Found:
    """What the walk gathers."""

    def __init__(self) -> None:
        self.programs: dict[bytes, list[Outgoing]] = {}
        """By path: [path, first line or None, identity, needed libraries]."""
        self.scripts: dict[bytes, list[Outgoing]] = {}
        """Of the same form: outside the PATH. A policy may name them, and they may be read."""
        self.libraries: dict[bytes, list[Outgoing]] = {}
        """By path: [path, needed libraries]."""
        self._files: dict[bytes, os.stat_result] = {}

    def look(self, path: bytes, state: os.stat_result, *, on_path: bool) -> None:
        """Take a regular file in, if it is a program or a library.

        Text counts only in a directory of the PATH, or where a link in one leads: elsewhere (a
        package's maintainer scripts, say) it is data that an allowed interpreter may read, and
        without a rule it is never executed. Where it is marked as a script, a rule may name it.
        """
        executable = bool(state.st_mode & 0o111)
        try:
            handle = os.open(path, os.O_RDONLY)
        except OSError:
            # What we can't read now nobody can later, but root's files may be executable.
            if executable:
                self._take(self.programs, path, state)
            return
        try:
            head = os.read(handle, _LINE_LIMIT)
            binary = elf.look(handle, head) if head[:4] == elf.MAGIC and len(head) > 63 else None
        finally:
            os.close(handle)
        if binary is not None:
            program, starts, needs = binary
            name = path.rsplit(b"/", 1)[1]
            # Some libraries print their version when executed (libc, libcap); programs need to
            # read them, and as libraries they get no right to be executed.
            library = name.startswith(b"lib") and b".so" in name
            if program or (starts and not library) or name.startswith((b"ld-", b"ld.")):
                self._take(self.programs, path, state, needs=needs)
            else:
                self.libraries[path] = [path, list(needs)]
            return
        is_script = head[:2] == b"#!"
        line = _first_line(head) if is_script else None
        if executable and on_path:
            self.scripts.pop(path, None)
            self._take(self.programs, path, state, line)
        elif executable and is_script:
            self._take(self.scripts, path, state, line)

    def _take(
        self,
        kind: dict[bytes, list[Outgoing]],
        path: bytes,
        state: os.stat_result,
        line: bytes | None = None,
        needs: tuple[bytes, ...] = (),
    ) -> None:
        kind[path] = [path, line, 0, list(needs)]
        self._files[path] = state

    def identify(self) -> None:
        """Number the programs: one number for hard links of a file, and for copies of it.

        A multi-call program does what its name says, and a copy of it too: an image that was put
        together by copying holds as many of them as there were links.
        """
        by_size: dict[int, dict[tuple[int, int], list[bytes]]] = {}
        for path, state in self._files.items():
            inodes = by_size.setdefault(state.st_size, {})
            inodes.setdefault((state.st_dev, state.st_ino), []).append(path)
        known: dict[object, int] = {}
        for inodes in by_size.values():
            for inode, paths in inodes.items():
                content = _digest(paths[0]) if len(inodes) > 1 else inode
                number = known.setdefault(content, len(known))
                for path in paths:
                    (self.programs.get(path) or self.scripts[path])[2] = number


def _digest(path: bytes) -> object:
    """What a file holds; what can't be read is like nothing else."""
    state = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            while piece := file.read(1 << 20):
                state.update(piece)
    except OSError:
        return path
    return state.digest()


def scan() -> tuple[_Found, list[tuple[bytes, bytes]], list[tuple[bytes, list[bytes]]]]:
    """Programs and libraries, symlinks, directories: rows for `policies.inventory.Inventory`."""
    found = _Found()
    links: dict[bytes, bytes] = {}
    children: dict[bytes, list[bytes]] = {}
    on_path = {os.path.realpath(part) for part in os.environb.get(b"PATH", b"").split(b":")}
    stack = [b"/"]
    while stack:
        directory = stack.pop()
        names = []
        try:
            entries = list(os.scandir(directory))
        except OSError:
            continue
        for entry in entries:
            path = entry.path
            state = entry.stat(follow_symlinks=False)
            kind = state.st_mode & _TYPE
            if kind == 0o040000:
                names.append(entry.name + b"/")
                if path not in _SKIPPED:
                    stack.append(path)
            elif kind == 0o120000:
                names.append(entry.name + b"@")
                links[path] = os.path.realpath(path)
            else:
                names.append(entry.name)
                if kind == 0o100000:
                    found.look(path, state, on_path=directory in on_path)
        children[directory] = names
    for link, target in links.items():
        # Only what the walk saw: not a device, and nothing below what it skipped.
        seen = os.path.dirname(target) in children and os.path.isfile(target)
        if os.path.dirname(link) in on_path and target not in found.programs and seen:
            found.look(target, os.stat(target), on_path=True)
    found.identify()
    marked = {b"/"}
    for path in (*found.programs, *found.libraries):
        directory = os.path.dirname(path)
        while directory not in marked:
            marked.add(directory)
            directory = os.path.dirname(directory)
    kept = [(path, children[path]) for path in sorted(marked)]
    named = [
        (link, target)
        for link, target in links.items()
        # A directory of the PATH may hold links alone, and its names come first all the same.
        if os.path.dirname(link) in marked or target in found.programs or target in found.scripts
    ]
    return found, named, kept


def _send(value: Outgoing) -> None:
    view = memoryview(wire.frame(value))
    while view:
        view = view[os.write(1, view) :]


def _unannotated(source: bytes) -> ast.Module:
    """A module without what only a type checker reads: time and memory of every container."""
    tree = ast.parse(source)
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
        and not (isinstance(node, ast.If) and ast.dump(node.test) == _CHECKING)
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
    return tree


def main(package: str) -> None:
    """Print the inventory in pieces, then each module of `package` compiled, then `end`."""
    found, links, kept = scan()
    rows: list[Any]
    for kind, rows in (
        (b"programs", list(found.programs.values())),
        (b"scripts", list(found.scripts.values())),
        (b"libraries", list(found.libraries.values())),
        (b"links", links),
    ):
        for at in range(0, len(rows), 1000):
            _send([kind, rows[at : at + 1000]])
    for path, names in kept:
        for at in range(0, max(len(names), 1), 1000):
            _send([b"directory", path, names[at : at + 1000]])
    for name in sorted(os.listdir(package)):
        if name.endswith(".py"):
            with open(package + "/" + name, "rb") as file:
                tree = _unannotated(file.read())
            code = compile(tree, "<guest " + name + ">", "exec", dont_inherit=True, optimize=2)
            header = importlib.util.MAGIC_NUMBER + bytes(12)
            _send([b"module", name[:-3].encode(), header + marshal.dumps(code)])
    _send([b"end", os.fsencode(os.environ.get("PATH", ""))])
