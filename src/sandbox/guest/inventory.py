"""Which programs the image holds, and the guest compiled for its Python: run once per image."""

from __future__ import annotations

import ast
import importlib.util
import marshal
import os

from sandbox.guest import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from sandbox.guest.wire import Outgoing

_SKIPPED = (b"/proc", b"/sys", b"/dev", b"/run", b"/tmp", b"/var/tmp", b"/home", b"/workspace")
_TYPE = 0o170000
_ET_EXEC = 2
_ET_DYN = 3
_PT_DYNAMIC = 2
_PT_INTERP = 3
_DT_FLAGS_1 = 0x6FFFFFFB
_DF_1_PIE = 0x08000000
_CHECKING = ast.dump(ast.Name("TYPE_CHECKING", ast.Load()))


def _elf_runs(data: bytes, path: bytes) -> bool:
    """Whether an ELF file is a program: position fixed, or with a loader, or static-PIE."""
    wide = data[4] == 2
    order: Literal["little", "big"] = "little" if data[5] == 1 else "big"

    def number(at: int, size: int, source: bytes = data) -> int:
        return int.from_bytes(source[at : at + size], order)

    kind = number(16, 2)
    if kind == _ET_EXEC:
        return True
    if kind != _ET_DYN:
        return False
    start = number(32, 8) if wide else number(28, 4)
    size, count = (number(54, 2), number(56, 2)) if wide else (number(42, 2), number(44, 2))
    handle = os.open(path, os.O_RDONLY)
    try:
        headers = os.pread(handle, size * min(count, 64), start)
        for at in range(0, len(headers), size or 1):
            segment = number(at, 4, headers)
            if segment == _PT_INTERP:
                return True
            if segment == _PT_DYNAMIC and wide:
                offset, length = number(at + 8, 8, headers), number(at + 32, 8, headers)
                table = os.pread(handle, min(length, 1 << 16), offset)
                for entry in range(0, len(table), 16):
                    if number(entry, 8, table) == _DT_FLAGS_1:
                        return bool(number(entry + 8, 8, table) & _DF_1_PIE)
    finally:
        os.close(handle)
    return False


def _program(path: bytes, state: os.stat_result, *, on_path: bool) -> list[Outgoing] | None:
    """None, or [path, interpreter or None, inode].

    Text counts only in a directory of the PATH: elsewhere (a package's maintainer scripts, say)
    it is data that an allowed interpreter may read, and without a rule it is never executed.
    """
    executable = state.st_mode & 0o111 and on_path
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        # What we can't read now nobody can later, but root's files may be executable.
        return [path, None, state.st_ino] if state.st_mode & 0o111 else None
    try:
        head = os.read(handle, 256)
    finally:
        os.close(handle)
    if head[:2] == b"#!" and executable:
        words = head[2:].split(b"\n", 1)[0].split()
        return [path, words[0] if words else None, state.st_ino]
    if head[:4] == b"\x7fELF" and len(head) > 63:
        name = path.rsplit(b"/", 1)[1]
        if name.startswith(b"lib") and b".so" in name:
            # Some libraries print their version when executed (libc, libcap); programs need to
            # read them, and as libraries they get no right to be executed.
            return None
        runs = _elf_runs(head, path) or name.startswith((b"ld-", b"ld."))
        return [path, None, state.st_ino] if runs else None
    return [path, None, state.st_ino] if executable else None


def scan() -> tuple[
    list[list[Outgoing]], list[tuple[bytes, bytes]], list[tuple[bytes, list[bytes]]]
]:
    """Programs, symlinks and directories, as rows for `policies.inventory.Inventory`."""
    programs = []
    links = []
    children = {}
    marked = set()
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
                links.append((path, os.path.realpath(path)))
            else:
                names.append(entry.name)
                row = (
                    _program(path, state, on_path=directory in on_path)
                    if kind == 0o100000
                    else None
                )
                if row is not None:
                    programs.append(row)
                    while directory not in marked:
                        marked.add(directory)
                        directory = os.path.dirname(directory)
                    directory = os.path.dirname(path)
        children[directory] = names
    marked.add(b"/")
    kept = [(path, children[path]) for path in sorted(marked)]
    links = [row for row in links if os.path.dirname(row[0]) in marked]
    return programs, links, kept


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
    programs, links, kept = scan()
    for kind, rows in ((b"programs", programs), (b"links", links)):
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
