"""Over random images and allowlists: nothing forbidden is covered, nothing harmless is lost."""

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from policies.errors import Where
from policies.kernel.image import ContainerImage, Inventory, Program
from policies.kernel.rules import Access, kernel_rules
from policies.loading import load
from policies.policy import CommandRule, Policy

NAMES = ["a", "b", "c", "ls", "git", "sh", "python3", "ld-linux.so.2", "libx.so.1"]
TOPS = ["usr", "bin", "lib", "etc", "opt"]


@dataclass(frozen=True)
class World:
    inventory: Inventory
    files: frozenset[str]
    """Regular files that are no programs."""


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """An image: a tree of directories with programs, other files and links in it."""
    directories = draw(
        st.lists(
            st.tuples(st.sampled_from(TOPS), st.lists(st.sampled_from(NAMES), max_size=3)).map(
                lambda t: "/" + "/".join([t[0], *t[1]])
            ),
            min_size=1,
            max_size=8,
        )
    )
    every = {"/"}
    for path in [*directories, "/workspace", "/tmp", "/var/tmp", "/home/agent", "/proc"]:
        parts = path.split("/")[1:]
        every |= {"/" + "/".join(parts[: n + 1]) for n in range(len(parts))}
    inside = st.sampled_from(sorted(every - {"/"}))
    leaf = st.tuples(inside, st.sampled_from([f"{name}.x" for name in NAMES] + NAMES))
    paths = [f"{top}/{name}" for top, name in draw(st.lists(leaf, max_size=14))]
    own = ("/workspace", "/tmp", "/var/tmp", "/home/agent", "/proc")
    paths = [p for p in paths if p not in every and not p.startswith(own)]
    kinds = draw(st.lists(st.sampled_from("PPSFL"), min_size=len(paths), max_size=len(paths)))
    by_path = dict(zip(paths, kinds, strict=True))
    programs = {
        path: Program(
            path=path,
            interpreter=draw(st.sampled_from(sorted(by_path))) if kind == "S" else None,
            inode=draw(st.integers(0, 6)),
        )
        for path, kind in by_path.items()
        if kind in "PS"
    }
    real = sorted(path for path, kind in by_path.items() if kind != "L") + sorted(every)
    links = {p: draw(st.sampled_from(real)) for p, kind in by_path.items() if kind == "L"}
    holding = {"/"}
    for path in programs:
        holding |= set(covering(path)[:-1])
    children = {path: set[str]() for path in holding}
    marks = [
        *((path, "/") for path in every - {"/"}),
        *((path, "@" if kind == "L" else "") for path, kind in by_path.items()),
    ]
    for path, mark in marks:
        parent = path.rpartition("/")[0] or "/"
        if parent in children:
            children[parent].add(path.rpartition("/")[2] + mark)
    return World(
        inventory=Inventory(
            programs=programs,
            links=links,
            directories={path: tuple(sorted(names)) for path, names in children.items()},
            search_path=("/usr", "/bin", "/opt/a"),
        ),
        files=frozenset(path for path, kind in by_path.items() if kind == "F"),
    )


LOCKED = load("locked")


def policy_of(names: list[str], *, runs: bool) -> Policy:
    rules = tuple(
        CommandRule(program=name, args=None, ask=False, where=Where(file="t", line=1))
        for name in names
    )
    return replace(LOCKED, commands=rules, exec_workspace=runs, tools=("bash",))


def covering(path: str) -> list[str]:
    """A path and all directories above it: written apart from the code that is tested."""
    parts = path.strip("/").split("/")
    return ["/", *("/" + "/".join(parts[: n + 1]) for n in range(len(parts)))]


@settings(max_examples=200, deadline=None)
@given(
    world=worlds(),
    names=st.lists(st.sampled_from([*NAMES, "/usr/a", "/bin/sh", "/opt/a/b"]), max_size=4),
    runs=st.booleans(),
)
def test_no_forbidden_program_is_covered_and_no_other_file_is_lost(
    *, world: World, names: list[str], runs: bool
) -> None:
    rules = kernel_rules(policy_of(names, runs=runs), world.inventory)
    granted = {rule.path: rule.access for rule in rules.rules}
    programs = world.inventory.programs
    expected = needed(world.inventory, names)
    for path in programs:
        found = Access(0)
        for above in covering(path):
            found |= granted.get(above, Access(0))
        if path in expected:
            assert found & Access.EXECUTE
            assert found & Access.READ
        elif not brought(path):
            assert not found & Access.EXECUTE
            assert not found & Access.READ
        assert not found & Access.WRITE
    for path in world.files:
        assert any(granted.get(above, Access(0)) & Access.READ for above in covering(path))
    for path, access in granted.items():
        own = path.startswith(("/workspace", "/tmp", "/var/tmp", "/home/agent", "/dev"))
        assert own or not access & Access.WRITE
        if access & Access.EXECUTE and path not in programs:
            assert own
            assert runs


def brought(path: str) -> bool:
    """Can some bundle, or what always comes, make it executable or readable?"""
    return any(word in path for word in ("ld-", "bash", "python3", "git", "/sh", "libc"))


def needed(inventory: Inventory, names: list[str]) -> set[str]:
    """Listed programs and their interpreters, followed."""
    image = ContainerImage(inventory)
    waiting = [path for name in names if (path := image.find(name)) is not None]
    found: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        line = inventory.programs[path].interpreter
        target = image.find(line) if line else None
        if target is not None:
            waiting.append(target)
    return found
