"""The container as a plan: every hardening flag stands here, and one call applies it.

Owns the flags, their form for the engine's API, and the comparison with what runs. Knows no
policy file: `container_spec` takes the policy as a value.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from policies.frozen import dataclass
from policies.paths import SERVICES
from policies.policy import Policy
from policies.shell.words import HOME
from sandbox.container import seccomp
from sandbox.container.mounts import (
    HELD,
    Mount,
    Scratch,
    hosts_mount,
    mount_differences,
    tmpfs,
    volumes,
)
from sandbox.engine.values import LABEL_DEADLINE, LABEL_MANAGED

USER = "1000:1000"
HOSTNAME = "moonpool"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""By which the engine finds the guest's Python, at every start anew: so nothing of it is ever the
agent's to write, and an image's own PATH is for commands only."""

_SHM_SHARE = 2
"""One part in so many of the memory limit, which its files count towards. A machine without a
container has as much of its memory."""
_SERVICES_SHARE = 8
"""One part in so many of the memory limit, which files of services count towards. Where `/tmp` is
in memory too, and that and /dev/shm are full as well, they leave an eighth of it."""
_SHELF_LIFE_S = 3600
_SIGNALS = 4096
"""Queued signals and timers: lowering works with every engine, raising does not."""
_NANO = 1_000_000_000

_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """One sandbox, as it must run."""

    image: str
    command: tuple[str, ...]
    labels: Mapping[str, str]
    cpus: float
    memory_bytes: int
    """Swap included: what does not fit is ended, not swapped."""
    pids: int
    file_bytes: int
    """Largest file a process can write (RLIMIT_FSIZE)."""
    seccomp_profile: str
    services: tuple[Scratch, ...] = ()
    """What services write to: in memory, bounded, gone with the main process."""
    mounts: tuple[Mount, ...] = ()
    """Over the image's own files; none where the policy lets the workspace's files be executed."""
    terminal: bool = False
    """Whether the main process has a terminal, which is a person's."""
    unset: tuple[str, ...] = ()
    """Variables of the image that its processes are not to get from the engine."""
    user: str = USER
    """``uid:gid`` of the main process. Root only for a set-up, before anything of an agent's."""
    capabilities: tuple[str, ...] = ()
    """Those that root keeps, without ``CAP_``."""
    keeps_environment: bool = False
    """The main process gets what the image sets, and nothing else."""
    hosts_file: str = ""
    """Absolute path, on this machine, of what stands at /etc/hosts where the engine sees it."""

    def body(self, *, mounts_hosts: bool = False) -> dict[str, object]:
        """The JSON body of the engine's create call (API 1.41 and later).

        Args:
            mounts_hosts: have the file of this machine stand at /etc/hosts.
        """
        host_config = self.host_config()
        if mounts_hosts:
            host_config["Mounts"] = [
                *volumes(self.mounts, self.labels),
                hosts_mount(self.hosts_file),
            ]
        return {
            "Image": self.image,
            "Entrypoint": list(self.command),
            "Cmd": [],
            "User": self.user,
            "WorkingDir": "/",
            # A name alone takes away what the image sets.
            "Env": []
            if self.keeps_environment
            else [
                f"PATH={PATH}",
                f"HOME={HOME}",
                *(name for name in self.unset if name not in {"PATH", "HOME"}),
            ],
            "Labels": dict(self.labels),
            "Hostname": HOSTNAME,
            "Tty": self.terminal,
            "OpenStdin": True,
            "StdinOnce": False,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "NetworkDisabled": True,
            # An image may bring a health check; it would be a second way to run things.
            "Healthcheck": {"Test": ["NONE"]},
            "Volumes": {},
            "HostConfig": host_config,
        }

    def host_config(self) -> dict[str, object]:
        """The part of the body that hardens."""
        return {
            "NetworkMode": "none",
            "CapDrop": ["ALL"],
            "CapAdd": list(self.capabilities),
            "Privileged": False,
            "SecurityOpt": ["no-new-privileges", f"seccomp={self.seccomp_profile}"],
            "NanoCpus": int(self.cpus * _NANO),
            "Memory": self.memory_bytes,
            "MemorySwap": self.memory_bytes,
            "PidsLimit": self.pids,
            "Ulimits": [
                {"Name": "core", "Soft": 0, "Hard": 0},
                {"Name": "fsize", "Soft": self.file_bytes, "Hard": self.file_bytes},
                # Counted by user id, so that a user of the host with ours shares in them.
                {"Name": "msgqueue", "Soft": 0, "Hard": 0},
                {"Name": "sigpending", "Soft": _SIGNALS, "Hard": _SIGNALS},
            ],
            "ShmSize": self.memory_bytes // _SHM_SHARE,
            "LogConfig": {"Type": "none", "Config": {}},
            "Binds": [],
            "Mounts": volumes(self.mounts, self.labels),
            "VolumesFrom": [],
            "Devices": [],
            "DeviceCgroupRules": [],
            "Tmpfs": tmpfs((*self.mounts, *self.services)),
            "Sysctls": {},
            "GroupAdd": [],
            "ExtraHosts": [],
            "DeviceRequests": [],
            "IpcMode": "private",
            "PidMode": "",
            "UTSMode": "",
            "UsernsMode": "",
            "CgroupParent": "",
            "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
            "AutoRemove": False,
            "Init": False,
            "MaskedPaths": [*_MASKED, *((HELD,) if self.mounts else ())],
            "ReadonlyPaths": list(_READ_ONLY),
            "PublishAllPorts": False,
            "PortBindings": {},
            "OomKillDisable": False,
        }


def variable_names(environment: Sequence[str]) -> tuple[str, ...]:
    """Of rows ``NAME=VALUE``, as an engine gives them."""
    return tuple(row.partition("=")[0] for row in environment)


def shelf(image: str) -> dict[str, object]:
    """The body of a container that is never started: a place to put files into, or take from."""
    return {
        "Image": image,
        "Entrypoint": ["true"],
        "Cmd": [],
        "NetworkDisabled": True,
        "Labels": {
            LABEL_MANAGED: "1",
            LABEL_DEADLINE: str(int(time.time()) + _SHELF_LIFE_S),
        },
    }


def container_spec(
    policy: Policy,
    *,
    image: str,
    command: Sequence[str],
    labels: Mapping[str, str],
    hosts_file: str,
    unset: tuple[str, ...] = (),
) -> ContainerSpec:
    """What a policy asks of the container itself; its kernel rules go to the guest."""
    return ContainerSpec(
        unset=unset,
        hosts_file=hosts_file,
        image=image,
        command=tuple(command),
        labels=labels,
        cpus=policy.limits.cpus,
        memory_bytes=policy.limits.memory_bytes,
        pids=policy.limits.pids,
        file_bytes=policy.limits.disk_bytes,
        services=_services(policy),
        seccomp_profile=seccomp.profile(exec_memory_files=policy.exec_workspace),
    )


def _services(policy: Policy) -> tuple[Scratch, ...]:
    if not policy.services:
        return ()
    size = min(policy.limits.disk_bytes, policy.limits.memory_bytes // _SERVICES_SHARE)
    return (Scratch(target=SERVICES, size_bytes=size),)


def _normal(value: object) -> object:
    """An engine writes an empty list or map as null, or the reverse."""
    return None if value in ([], {}, "", False) else value


def differences(spec: ContainerSpec, running: Mapping[str, Any]) -> list[str]:
    """Compare a container, as the engine describes it, with its spec; empty where they agree.

    Every field of the spec's host configuration is compared, and what the spec has no field for
    but could open a way out: mounts, networks, the user, the image.
    """
    wrong = []
    host = running.get("HostConfig") or {}
    for key, wanted in spec.host_config().items():
        found = host.get(key)
        if key in {"MaskedPaths", "ReadonlyPaths"}:
            missing = set(wanted if isinstance(wanted, list) else ()) - set(found or ())
            if missing:
                wrong.append(f"{key}: lacks {', '.join(sorted(missing))}")
        elif key == "Ulimits":
            wrong += _ulimit_differences(wanted, found)
        elif key == "Mounts":
            wrong += mount_differences(
                (*spec.mounts, *spec.services), spec.labels, spec.hosts_file, running
            )
        elif _normal(found) != _normal(wanted):
            shown = "differs" if key == "SecurityOpt" else f"is {found!r}, not {wanted!r}"
            wrong.append(f"{key}: {shown}")
    config = running.get("Config") or {}
    wrong += [
        f"{key}: is {config.get(key)!r}"
        for key, wanted in (("Image", spec.image), ("User", spec.user), ("Tty", spec.terminal))
        if config.get(key) != wanted
    ]
    if list(config.get("Entrypoint") or ()) != list(spec.command) or config.get("Cmd"):
        wrong.append("Entrypoint: is not the guest")
    networks = set((running.get("NetworkSettings") or {}).get("Networks") or {})
    if networks - {"none"}:
        wrong.append(f"Networks: {', '.join(sorted(networks))}")
    state = running.get("State") or {}
    if not state.get("Running"):
        wrong.append(f"State: {state.get('Status')!r}")
    return wrong


def _ulimit_differences(wanted: object, found: object) -> list[str]:
    def rows(value: object) -> dict[str, tuple[int, int]]:
        items = value if isinstance(value, list) else []
        return {row["Name"]: (row["Soft"], row["Hard"]) for row in items}

    have = rows(found)
    return [
        f"Ulimits: {name} is {have.get(name)}"
        for name, limit in rows(wanted).items()
        if have.get(name) != limit
    ]
