"""The kernel's half of a policy: which paths may be executed, read, listed and written.

Landlock only allows: a rule on a directory covers all below it, so what is granted at a path is the
union over the path and its ancestors. A directory that holds a program outside the allowlist gets
no rule; its other children do, one by one, down to where nothing forbidden is left. Pure: a policy
and an image's inventory in, rules out.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from enum import IntFlag
from typing import TypeVar

from policies.frozen import dataclass
from policies.kernel.bundles import bundles
from policies.kernel.image import ContainerImage, ForbiddenFiles, Inventory
from policies.kernel.resolution import GrantedFiles, granted, named
from policies.paths import DEVICES, SCRATCH, SERVICES, WORKSPACE, normal, within, within_any
from policies.policy import Policy
from policies.shell.words import HOME

A = TypeVar("A", bound=IntFlag)


def granted_at(rules: Mapping[str, A], path: str, nothing: A) -> A:
    """What rules grant at an absolute path in normal form."""
    found = nothing
    for place in _upward(path):
        found |= rules.get(place, nothing)
    return found


def intersection(one: Mapping[str, A], other: Mapping[str, A], nothing: A) -> dict[str, A]:
    """Rules that grant at each path what both `one` and `other` grant there, and nothing else.

    Exact: of two rules that both cover a path one lies below the other or at the same place, so a
    rule there says all. A rule holds only what those above it do not grant already, so that a file
    gets no right of directories which a rule far above it has.
    """
    found: dict[str, A] = {}
    for path in sorted({*one, *other}, key=_depth):
        both = granted_at(one, path, nothing) & granted_at(other, path, nothing)
        new = both & ~granted_at(found, path, nothing)
        if new:
            found[path] = new
    return found


def _depth(path: str) -> tuple[int, str]:
    return (0 if path == "/" else path.count("/"), path)


def _upward(path: str) -> Iterator[str]:
    yield path
    while path != "/":
        path = posixpath.dirname(path)
        yield path


class Access(IntFlag):
    """What a rule grants on a file, or on everything below a directory."""

    READ = 1
    WRITE = 2
    EXECUTE = 4
    LIST = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRule:
    path: str
    """Absolute in the container."""
    access: Access


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRules:
    rules: tuple[PathRule, ...]
    missing: tuple[str, ...]
    """Programs that the policy lists and the image does not hold."""
    notes: tuple[str, ...]
    """What could not be held apart, for a person to read (a script brings its interpreter …)."""
    remarks: tuple[str, ...]
    """Those of the notes that are not in `granted` as data."""
    granted: GrantedFiles
    """The same as data, and why each file is in it."""


def kernel_rules(
    policy: Policy,
    inventory: Inventory,
    *,
    may_ask: bool = False,
    also_own: tuple[str, ...] = (),
    apart: tuple[str, ...] = (),
) -> KernelRules:
    """The rules of a policy in an image; sorted by path, one rule a path.

    Programs with ``ask: true`` are executable only when ``may_ask``: somebody can be asked.

    Args:
        also_own: directories that are as the workspace is: all in them may be read, written and
            executed.
        apart: directories that no rule on one above them may make readable.
    """
    places = _Places(policy, also_own, apart)
    image = ContainerImage(inventory, set_aside=places.own)
    found = granted(policy, image, may_ask=may_ask)
    forbidden = ForbiddenFiles(image, found.visible, found.libraries.withheld)
    rules: dict[str, Access] = defaultdict(lambda: Access(0))
    rules["/"] |= Access.LIST
    for path in _split(image, forbidden, places):
        rules[path] |= Access.READ
    for path in found.executable:
        rules[path] |= Access.READ | Access.EXECUTE
    for path in found.readable:
        rules[path] |= Access.READ
    places.grant(rules, image, forbidden)
    remarks = (*found.remarks, *places.notes(image))
    if policy.bounds is not None:
        for over in (policy.bounds.before, *policy.bounds.ceilings):
            bound = kernel_rules(over, inventory, may_ask=may_ask).rules
            by_path = {rule.path: rule.access for rule in bound}
            rules = intersection(rules, by_path, Access(0))
    return KernelRules(
        rules=tuple(PathRule(path=path, access=rules[path]) for path in sorted(rules)),
        missing=found.missing,
        notes=(*found.notes, *remarks),
        remarks=remarks,
        granted=found,
    )


class _Places:
    """What is the agent's own: the workspace, its home, the scratch directories, devices."""

    def __init__(self, policy: Policy, also_own: tuple[str, ...], apart: tuple[str, ...]) -> None:
        self._policy = policy
        self._also_own = also_own
        self.own = (WORKSPACE, HOME, *also_own, *SCRATCH, SERVICES, "/proc", "/sys", "/dev")
        """Judged by themselves, never as part of the image."""
        narrowed = (WORKSPACE,) if policy.paths.read is not None else ()
        self.apart = ("/proc", "/sys", "/dev", *narrowed, *apart)
        """What a rule above must not make readable; the others of them are readable anyway."""
        self._write = [normal(entry) for entry in policy.paths.write]

    def _is_own(self, path: str) -> bool:
        return within_any(path, (WORKSPACE, HOME, *SCRATCH))

    def grant(
        self, rules: dict[str, Access], image: ContainerImage, forbidden: ForbiddenFiles
    ) -> None:
        run = Access.EXECUTE if self._policy.exec_workspace else Access(0)
        reading = Access.READ | Access.LIST
        # A rule is on a directory, never on a link.
        for path in self._also_own:
            rules[path] |= reading | Access.WRITE | Access.EXECUTE
        for path in (SCRATCH[0], HOME):
            rules[path] |= reading | Access.WRITE | run
        read = self._policy.paths.read
        if read is None:
            rules[WORKSPACE] |= reading | run
        else:
            # Absolute entries outside are the image's, which is readable without being listed.
            for path in map(normal, read):
                if within(path, WORKSPACE):
                    rules[path] |= reading | run
                elif within(WORKSPACE, path):
                    rules[WORKSPACE] |= reading | run
        for path in self._write:
            if self._is_own(path):
                rules[path] |= reading | Access.WRITE | run
            elif path not in self.own and not forbidden.below(image.resolved(path)):
                rules[path] |= reading | Access.WRITE
            else:
                # Reading it all would read programs that are not listed.
                rules[path] |= Access.WRITE | Access.LIST
        for path in DEVICES:
            rules[path] |= Access.READ | Access.WRITE
        rules["/dev/pts"] |= reading | Access.WRITE
        rules["/dev/shm"] |= reading | Access.WRITE  # noqa: S108 - the container's
        rules["/proc"] |= reading
        rules["/sys"] |= reading

    def notes(self, image: ContainerImage) -> list[str]:
        notes = [
            f"{path} may be written: the programs below it can be replaced"
            for path in self._write
            if not self._is_own(path) and image.programs_below(path)
        ]
        if self._policy.services:
            notes += [
                f"{path} may be written: commands reach the directories of services"
                for path in self._write
                if within(SERVICES, path) or within(path, SERVICES)
            ]
        held = [path for top in (HOME, *SCRATCH) for path in image.programs_below(top)]
        if held:
            notes.append(
                "programs that the image holds where the agent may write are the agent's: "
                + named(dict.fromkeys(held))
            )
        return notes


def _split(image: ContainerImage, forbidden: ForbiddenFiles, places: _Places) -> Iterable[str]:
    """Directories and files to be readable, such that no forbidden program is below any of them."""
    unneeded = bundles().unneeded
    waiting = ["/"]
    while waiting:
        path = waiting.pop()
        if path in places.own:
            continue
        children = image.children(path)
        holds = any(within(top, path) for top in places.apart)
        if not holds and not forbidden.below(path):
            yield path
            continue
        if children is None or path in unneeded:
            # What can't be told apart is not readable, rather than too much.
            continue
        for name in children:
            child = posixpath.join(path, name.rstrip("/"))
            if name.endswith("/"):
                waiting.append(child)
            elif not name.endswith("@") and child not in forbidden.paths:
                yield child
