"""Which programs the image holds, and the guest compiled for its Python: run once per image."""

from __future__ import annotations
import __future__

import ast
import hashlib
import importlib.util
import marshal
import os

from sandbox.guest import elf, image_protocol, message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from sandbox.guest.message import GuestAnswer

_SKIPPED = (b"/proc", b"/sys", b"/dev")
_ROWS_AT_ONCE = 1000
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
        self.programs: dict[bytes, image_protocol.FoundProgram] = {}
        """By path."""
        self.scripts: dict[bytes, image_protocol.FoundProgram] = {}
        """Scripts outside the PATH, by path. A policy may name them, and they may be read."""
        self.libraries: dict[bytes, image_protocol.FoundLibrary] = {}
        """By path."""
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
                self.libraries[path] = image_protocol.FoundLibrary(path=path, needs=list(needs))
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
        kind: dict[bytes, image_protocol.FoundProgram],
        path: bytes,
        state: os.stat_result,
        line: bytes | None = None,
        needs: tuple[bytes, ...] = (),
    ) -> None:
        kind[path] = image_protocol.FoundProgram(
            path=path, line=line, identity=0, needs=list(needs)
        )
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
        numbers: dict[bytes, int] = {}
        for inodes in by_size.values():
            for inode, paths in inodes.items():
                content = _digest(paths[0]) if len(inodes) > 1 else inode
                number = known.setdefault(content, len(known))
                numbers.update(dict.fromkeys(paths, number))
        for kind in (self.programs, self.scripts):
            for path, known_as in kind.items():
                kind[path] = image_protocol.FoundProgram(
                    path=path, line=known_as.line, identity=numbers[path], needs=known_as.needs
                )


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


def scan(
    skipped: bytes, search_path: bytes
) -> tuple[_Found, list[image_protocol.FoundLink], list[image_protocol.FoundDirectory]]:
    """What is in the image beside the directory `skipped`: see `policies.kernel.image`."""
    found = _Found()
    links: dict[bytes, bytes] = {}
    children: dict[bytes, list[bytes]] = {}
    on_path = {os.path.realpath(part) for part in search_path.split(b":")}
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
                if path not in _SKIPPED and path != skipped:
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
    kept = [
        image_protocol.FoundDirectory(path=path, names=children[path]) for path in sorted(marked)
    ]
    named = [
        image_protocol.FoundLink(path=link, target=target)
        for link, target in links.items()
        # A directory of the PATH may hold links alone, and its names come first all the same.
        if os.path.dirname(link) in marked or target in found.programs or target in found.scripts
    ]
    return found, named, kept


def _send(words: GuestAnswer) -> None:
    view = memoryview(message.frame(0, words))
    while view:
        view = view[os.write(1, view) :]


def _unannotated(source: bytes) -> ast.Module:
    """A module without what only a type checker reads: time and memory of every container.

    The fields of messages are annotations, and stay. Compiled as `compiled` does it, they are text.
    """
    tree = ast.parse(source)
    body: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.If) and ast.dump(node.test) == _CHECKING:
            body += node.orelse
        elif not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            body.append(node)
    tree.body = body
    for part in ast.walk(tree):
        if isinstance(part, ast.FunctionDef):
            part.returns = None
        elif isinstance(part, ast.arg):
            part.annotation = None
    return tree


def compiled(name: str, source: bytes) -> bytes:
    """A module of the guest as a file that this Python imports."""
    flags = __future__.annotations.compiler_flag
    tree = _unannotated(source)
    code = compile(tree, "<guest " + name + ">", "exec", flags, dont_inherit=True, optimize=2)
    return importlib.util.MAGIC_NUMBER + bytes(12) + marshal.dumps(code)


def _pieces(rows: Sequence[Any]) -> Iterator[Any]:
    for at in range(0, len(rows), _ROWS_AT_ONCE):
        yield rows[at : at + _ROWS_AT_ONCE]


def main(package: str, skipped: bytes, search_path: str) -> None:
    """Print what is in the image, then each module of `package` compiled."""
    found, links, directories = scan(skipped, os.fsencode(search_path))
    for on_path, programs in ((True, found.programs), (False, found.scripts)):
        for piece in _pieces(list(programs.values())):
            _send(image_protocol.FoundPrograms(on_path=on_path, programs=piece))
    for piece in _pieces(list(found.libraries.values())):
        _send(image_protocol.FoundLibraries(libraries=piece))
    for piece in _pieces(links):
        _send(image_protocol.FoundLinks(links=piece))
    for directory in directories:
        # An empty one is told too: it may stand first in the PATH.
        for piece in list(_pieces(directory.names)) or [[]]:
            _send(image_protocol.FoundDirectory(path=directory.path, names=piece))
    for name in sorted(os.listdir(package)):
        if name.endswith(".py"):
            with open(package + "/" + name, "rb") as file:
                code = compiled(name, file.read())
            _send(image_protocol.CompiledModule(name=name[:-3].encode(), code=code))
    _send(image_protocol.ImageSeen(search_path=os.fsencode(search_path)))
