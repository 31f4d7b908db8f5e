"""The mounts under which nothing that the agent writes can be executed, as values.

Landlock sees execve, not the mapping of code: `ld.so FILE`, LD_PRELOAD and dlopen need no more than
to read a file. The kernel maps no code from a mount that says noexec, so where a policy says
`exec_workspace: false`, every place that the agent may write by default is such a mount. Owns their
form for the engine, and the comparison with what an engine says it mounted; knows no volume's life.
"""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from policies.frozen import dataclass
from sandbox.guest.protocol import VOLUMES

HELD = VOLUMES.decode()
"""Where a sandbox keeps hold of its volumes, so that no `docker volume prune` empties them under
it. Only root can enter, and the engine masks it."""

HOSTS = "/etc/hosts"
PLACES = ("workspace", "home")
UPPER, WORK, LOWER = KINDS = ("", "-work", "-lower")
"""In there, by place: `workspace`, `workspace-work`, `workspace-lower` and so on."""

_FLAGS = "noexec,nosuid,nodev"
_BYTES_AN_ENTRY = 4096
"""An empty file in memory takes none of the size, but a kilobyte of the kernel's, which nobody's
end gives back: so many entries for the size. What attributes hold counts with them."""
_UNSAFE = frozenset(",:\\")
"""What separates options of an overlay mount; no engine keeps its files below such a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """An empty directory in memory, gone with the main process."""

    target: str
    size_bytes: int

    def options(self) -> str:
        """As the engine and the kernel take them."""
        entries = max(self.size_bytes // _BYTES_AN_ENTRY, 1)
        size = f"size={self.size_bytes},nr_inodes={entries}"
        return f"{_FLAGS},{size},mode=1777,uid=1000,gid=1000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """A directory of the host's disk, copy-on-write over one that is only read."""

    target: str
    lower: str
    """Absolute on the engine's host, as all of these."""
    upper: str
    work: str
    user_attributes: bool
    """The engine runs without root: overlayfs then keeps its marks where a user may."""
    further: tuple[str, ...] = ()
    """Directories below `lower`, uppermost first."""

    def options(self) -> str:
        """Moves copy, whatever the host's default: so times tell what changed."""
        own = "userxattr" if self.user_attributes else "redirect_dir=off,metacopy=off"
        lower = ":".join((self.lower, *self.further))
        layers = f"lowerdir={lower},upperdir={self.upper},workdir={self.work}"
        return f"{layers},index=off,{own},{_FLAGS}"

    def supported(self) -> bool:
        """Whether the paths can stand in a mount's options."""
        paths = (self.lower, *self.further, self.upper, self.work)
        return not any(_UNSAFE & set(path) for path in paths)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldVolume:
    """A named volume that an overlay is made of, held where nobody in the container gets at it."""

    volume: str
    target: str
    copies: bool
    """The engine copies what the image holds at the target: owner and mode of a top directory."""


Mount = Scratch | Overlay | HeldVolume


def tmpfs(mounts: Sequence[Mount]) -> dict[str, str]:
    """`HostConfig.Tmpfs`."""
    return {mount.target: mount.options() for mount in mounts if isinstance(mount, Scratch)}


def volumes(mounts: Sequence[Mount], labels: Mapping[str, str]) -> list[dict[str, object]]:
    """`HostConfig.Mounts`. The overlays have no name: they go with the container."""
    rows: list[dict[str, object]] = []
    for mount in mounts:
        match mount:
            case Scratch():
                continue
            case Overlay():
                options = {"type": "overlay", "device": "overlay", "o": mount.options()}
                how = {
                    "NoCopy": True,
                    "Labels": dict(labels),
                    "DriverConfig": {"Name": "local", "Options": options},
                }
                rows.append({"Type": "volume", "Target": mount.target, "VolumeOptions": how})
            case HeldVolume():
                rows.append(
                    {
                        "Type": "volume",
                        "Source": mount.volume,
                        "Target": mount.target,
                        "ReadOnly": True,
                        "VolumeOptions": {"NoCopy": not mount.copies},
                    }
                )
            case _:
                assert_never(mount)
    return rows


def hosts_mount(file: str) -> dict[str, object]:
    """The row of `HostConfig.Mounts` that has a file of this machine stand at /etc/hosts."""
    how = {"Propagation": "rprivate"}
    return {"Type": "bind", "Source": file, "Target": HOSTS, "ReadOnly": True, "BindOptions": how}


def noexec_targets(mounts: Sequence[Mount]) -> tuple[str, ...]:
    """Where nothing can be executed."""
    return tuple(mount.target for mount in mounts if not isinstance(mount, HeldVolume))


def mount_differences(
    mounts: Sequence[Mount], labels: Mapping[str, str], hosts: str, running: Mapping[str, Any]
) -> list[str]:
    """Compare what an engine says of a container's mounts with the plan, both what it was asked
    for and what it did.

    Args:
        hosts: the one file of this machine that may be mounted, read-only, at /etc/hosts.
    """
    rows = (running.get("HostConfig") or {}).get("Mounts") or ()
    asked = sorted(set(map(_essence, rows)) - {_essence(hosts_mount(hosts))})
    wrong = []
    if asked != sorted(map(_essence, volumes(mounts, labels))):
        wrong.append("Mounts: differ from what was asked for")
    planned = {
        mount.target: mount.volume if isinstance(mount, HeldVolume) else None
        for mount in mounts
        if not isinstance(mount, Scratch)
    }
    found = running.get("Mounts") or ()
    for row in found:
        target = row.get("Destination")
        if row.get("Type") == "tmpfs" and target in tmpfs(mounts):
            continue  # some engines list these too
        if (row.get("Type"), target, row.get("Source"), row.get("RW")) == (
            "bind",
            HOSTS,
            hosts,
            False,
        ):
            continue
        if target not in planned or row.get("Type") != "volume" or row.get("Driver") != "local":
            wrong.append(f"Mounts: {target!r} was not planned")
        elif planned[target] not in (None, row.get("Name")):
            wrong.append(f"Mounts: {target} is another volume")
    absent = planned.keys() - {row.get("Destination") for row in found}
    wrong += [f"Mounts: {target} is missing" for target in sorted(absent)]
    return wrong


def _essence(row: object) -> tuple[str, ...]:
    """What of a mount decides what it is; an engine may add empty fields."""
    if not isinstance(row, Mapping):
        return (repr(row),)
    how: Mapping[str, Any] = row.get("VolumeOptions") or {}
    driver = how.get("DriverConfig") or {}
    return (
        str(row.get("Target")),
        str(row.get("Type")),
        str(row.get("Source") or ""),
        str(bool(row.get("ReadOnly"))),
        str(bool(how.get("NoCopy"))),
        str(how.get("Subpath") or ""),
        str(driver.get("Name") or ""),
        str(sorted((driver.get("Options") or {}).items())),
        str((row.get("BindOptions") or {}).get("Propagation") or ""),
    )
