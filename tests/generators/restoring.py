"""Random changes in a container, a mark, more random changes, and back: compared by the engine.

What stands is read by the engine, which knows of no mark: content, type, every permission bit, and
directories with theirs.
"""

import dataclasses
import io
import tarfile
from pathlib import Path
from typing import cast

from generators.container_changes import PROGRAM, make_trees
from policies.loading import load
from sandbox.engine.docker import Engine
from sandbox.sandbox import Sandbox

World = dict[bytes, tuple[str, int, bytes]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    inexact: dict[bytes, str]
    moved: int
    """Paths that were otherwise before going back."""
    told: set[bytes]
    """Paths that going back named as left, or differing."""


def standing(engine: Engine, container: str) -> World:
    """Everything in the workspace but what lies in a `.git`."""
    data = b"".join(engine.get_archive(container, "/workspace"))
    world: World = {}
    with tarfile.open(fileobj=io.BytesIO(data), encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            name = member.name.removeprefix("workspace").lstrip("/")
            path = name.encode("utf-8", "surrogateescape")
            if b"/.git/" in b"/" + path + b"/":
                continue
            if member.isdir():
                world[path] = ("directory", member.mode & 0o7777, b"")
            elif member.issym():
                target = member.linkname.encode("utf-8", "surrogateescape")
                world[path] = ("link", 0, target)
            elif member.isreg() or member.islnk():
                file = cast("io.BufferedReader", tar.extractfile(member))
                world[path] = ("file", member.mode & 0o7777, file.read())
            else:
                world[path] = ("special", member.mode & 0o7777, b"")
    return world


def run(
    engine: Engine, workspace: Path, room: Path, *, seed: int, cases: int, rounds: int = 2
) -> Outcome:
    """Change, mark, change, go back; `rounds` times from one mark."""
    make_trees(workspace, seed=seed, cases=cases)
    with Sandbox.open(workspace=workspace, policy=load("default"), engine=engine) as box:
        box.write_file("/tmp/change.py", PROGRAM.encode())
        change = "umask 022; python3 /tmp/change.py"
        box.run(f"{change} {seed} {cases}", timeout_s=120)
        mark = box.mark(room / "steps")
        assert mark.unkept is None
        then = standing(engine, box.id)
        inexact: dict[bytes, str] = {}
        told: set[bytes] = set()
        moved = 0
        for number in range(rounds):
            said = box.run(f"{change} {seed + 1000 + number} {cases}", timeout_s=120)
            assert said.exit_code == 0, said
            between = standing(engine, box.id)
            moved += sum(then.get(path) != between.get(path) for path in {*then, *between})
            restored = box.restore(mark)
            now = standing(engine, box.id)
            named = {item.path for item in (*restored.left, *restored.differing)}
            told |= named
            # What is left stays in its folders.
            named |= {p for p in {*then, *now} if any(path.startswith(p + b"/") for path in named)}
            inexact |= {
                path: f"{now.get(path)!s:.150} and not {then.get(path)!s:.150}"
                for path in {*then, *now}
                if now.get(path) != then.get(path) and path not in named
            }
            inexact |= {item.path: item.reason for item in restored.differing}
    return Outcome(inexact=inexact, moved=moved, told=told)
