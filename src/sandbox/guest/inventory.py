"""Which programs the image holds, and the guest compiled for its Python: run once per image."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import marshal
import os

from sandbox.guest import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    from sandbox.guest.wire import Outgoing

_SKIPPED = (b"/proc", b"/sys", b"/dev", b"/workspace")
_TYPE = 0o170000
_ET_EXEC = 2
_ET_DYN = 3
_PT_LOAD = 1
_PT_DYNAMIC = 2
_PT_INTERP = 3
_DT_NEEDED = 1
_DT_STRTAB = 5
_DT_FLAGS_1 = 0x6FFFFFFB
_DF_1_PIE = 0x08000000
_LINE_LIMIT = 256  # BINPRM_BUF_SIZE: the kernel looks no further into a script
_HEADERS = 64
_NEEDS = 256
_CHECKING = ast.dump(ast.Name("TYPE_CHECKING", ast.Load()))


def _elf(handle: int, head: bytes) -> tuple[bool, list[Outgoing]] | None:
    """Whether an ELF file starts by itself, and the libraries it needs; None: it is a part of one.

    It starts by itself when its position is fixed, when it names a loader, or as a static-PIE.
    """
    wide = head[4] == 2
    order: Literal["little", "big"] = "little" if head[5] == 1 else "big"

    def number(source: bytes, at: int, size: int) -> int:
        return int.from_bytes(source[at : at + size], order)

    word = 8 if wide else 4
    kind = number(head, 16, 2)
    if kind not in (_ET_EXEC, _ET_DYN):
        return None
    start = number(head, 32, 8) if wide else number(head, 28, 4)
    at, count = (54, 56) if wide else (42, 44)
    size, count = number(head, at, 2), min(number(head, count, 2), _HEADERS)
    headers = os.pread(handle, size * count, start)
    runs = kind == _ET_EXEC
    loads = []
    table = b""
    for at in range(0, len(headers), size or 1):
        segment = number(headers, at, 4)
        offset = number(headers, at + word, word)
        address = number(headers, at + 2 * word, word)
        length = number(headers, at + 4 * word, word)
        if segment == _PT_INTERP:
            runs = True
        elif segment == _PT_LOAD:
            loads.append((address, offset, length))
        elif segment == _PT_DYNAMIC:
            table = os.pread(handle, min(length, 1 << 16), offset)
    names = []
    strings = None
    for at in range(0, len(table) - word, 2 * word):
        tag, value = number(table, at, word), number(table, at + word, word)
        if tag == 0:
            break
        if tag == _DT_NEEDED:
            names.append(value)
        elif tag == _DT_STRTAB:
            inside = [value - a + o for a, o, length in loads if a <= value < a + length]
            strings = inside[0] if inside else None
        elif tag == _DT_FLAGS_1:
            runs = runs or bool(value & _DF_1_PIE)
    needs: list[Outgoing] = []
    if strings is not None:
        for name in names[:_NEEDS]:
            needs.append(os.pread(handle, 256, strings + name).split(b"\0", 1)[0])
    return runs, needs


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
        self.libraries: dict[bytes, list[Outgoing]] = {}
        """By path: [path, needed libraries]."""
        self._files: dict[bytes, os.stat_result] = {}

    def look(self, path: bytes, state: os.stat_result, *, on_path: bool) -> bool:
        """Take a regular file in, if it is a program or a library.

        Text counts only in a directory of the PATH, or where a link in one leads: elsewhere (a
        package's maintainer scripts, say) it is data that an allowed interpreter may read, and
        without a rule it is never executed.
        """
        executable = bool(state.st_mode & 0o111)
        try:
            handle = os.open(path, os.O_RDONLY)
        except OSError:
            # What we can't read now nobody can later, but root's files may be executable.
            return executable and self._program(path, state, None, [])
        try:
            head = os.read(handle, _LINE_LIMIT)
            elf = _elf(handle, head) if head[:4] == b"\x7fELF" and len(head) > 63 else None
        finally:
            os.close(handle)
        if elf is not None:
            runs, needs = elf
            name = path.rsplit(b"/", 1)[1]
            # Some libraries print their version when executed (libc, libcap); programs need to
            # read them, and as libraries they get no right to be executed.
            library = name.startswith(b"lib") and b".so" in name
            if not library and (runs or name.startswith((b"ld-", b"ld."))):
                return self._program(path, state, None, needs)
            self.libraries[path] = [path, needs]
            return True
        if not executable or not on_path:
            return False
        line = _first_line(head) if head[:2] == b"#!" else None
        return self._program(path, state, line, [])

    def _program(
        self, path: bytes, state: os.stat_result, line: bytes | None, needs: list[Outgoing]
    ) -> bool:
        self.programs[path] = [path, line, 0, needs]
        self._files[path] = state
        return True

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
                    self.programs[path][2] = number


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
    links = []
    children = {}
    marked = {b"/"}
    on_path = {os.path.realpath(part) for part in os.environb.get(b"PATH", b"").split(b":")}

    def mark(directory: bytes) -> None:
        while directory not in marked:
            marked.add(directory)
            directory = os.path.dirname(directory)

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
                links.append((path, os.path.realpath(path)))
            else:
                names.append(entry.name)
                if kind == 0o100000 and found.look(path, state, on_path=directory in on_path):
                    mark(directory)
        children[directory] = names
    for link, target in links:
        if os.path.dirname(link) in on_path and target not in found.programs:
            directory = os.path.dirname(target)
            # Only what the walk saw: not a device, and nothing below what it skipped.
            if directory not in children or not os.path.isfile(target):
                continue
            if found.look(target, os.stat(target), on_path=True):
                mark(directory)
    found.identify()
    kept = [(path, children[path]) for path in sorted(marked)]
    links = [row for row in links if os.path.dirname(row[0]) in marked]
    return found, links, kept


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
