"""Whether a sandbox is sealed as planned: read back, from outside and inside, and compared."""

from collections.abc import Mapping, Sequence
from enum import StrEnum

from policies.frozen import dataclass
from sandbox.container.mounts import Mount, noexec_targets
from sandbox.container.spec import USER
from sandbox.errors import KernelUnsupported, SealBroken
from sandbox.guest.protocol import VOLUMES, FirstWords

LANDLOCK_ABI_NEEDED = 3
"""Linux 6.2. Before it, cutting a file short needs no permission that a rule could withhold."""

_EACCES = 13
_CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
_FILTERED = 2
"""`Seccomp:` in /proc/PID/status: 2 is a filter."""


class KernelPolicy(StrEnum):
    """What to do where the kernel can't enforce the policy."""

    REQUIRE = "require"
    PREFER = "prefer"
    """The operator's explicit choice to go on without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealReport:
    """What was read back from the running container before anything ran in it."""

    kernel_enforced: bool
    """The kernel holds commands to the policy's paths: its Landlock is recent enough. False only
    where the operator chose to go on without."""
    landlock_abi: int
    """Version of the kernel's Landlock, by the guest; 0: the kernel has none."""
    cap_eff: int
    """Capabilities that the guest has, as a bit mask from ``/proc``; always 0."""
    cap_bnd: int
    """Capabilities that it or a command could get, from the same place; always 0."""
    no_new_privs: bool
    """No program gives more rights than its caller has (setuid), from the same place."""
    seccomp: int
    """How system calls are held back, from the same place: 2 is by a filter."""
    uid: int
    """The user that everything in the container runs as."""
    interfaces: tuple[str, ...]
    """Names of the container's network interfaces: ``lo`` at most."""
    noexec: tuple[str, ...]
    """Paths of mounts from which the kernel maps no code; empty where the policy lets the
    workspace's files be executed, or the engine can't mount them so."""
    memory_sealed: bool
    """Memory that was written can't be executed afterwards: the kernel said so to the guest."""
    moves_copy: bool
    """Moving a directory of the baseline copies what is in it, so that times tell what changed. By
    the options of the file system that the workspace is on."""
    probed: str | None
    """A forbidden program that the guest could neither read nor execute, absolute; None where there
    was none to try, or nothing is enforced."""
    missing: tuple[str, ...]
    """Programs that the policy lists and the image does not hold."""
    notes: tuple[str, ...]
    """What a person should know of how this sandbox holds less than its policy says."""


def check(
    words: FirstWords,
    *,
    kernel_policy: KernelPolicy,
    probe: str | None,
    missing: tuple[str, ...],
    notes: tuple[str, ...],
    engine_differences: Sequence[str],
    seals_memory: bool,
    mounts: Sequence[Mount],
) -> SealReport:
    """Judge a guest's first words and the engine's own description of the container.

    Args:
        probe: the forbidden program that the guest was told to try.
        missing, notes: for the report.
        engine_differences: how the container, as the engine describes it, differs from its spec.
        seals_memory: the policy has written memory never executed.
        mounts: the container's own.

    Raises:
        KernelUnsupported: no Landlock, or too old, and the operator requires it.
        SealBroken: anything differs from the spec.
    """
    facts = {
        fact.key.decode("ascii", "replace"): fact.value.decode("ascii", "replace")
        for fact in words.facts
    }
    wrong = list(engine_differences)
    wrong += [
        f"{key}: is {facts.get(key, 'missing')}, not 0"
        for key in _CAPABILITIES
        if facts.get(key, "").strip("0") or not facts.get(key)
    ]
    if facts.get("NoNewPrivs") != "1":
        wrong.append("NoNewPrivs: is not set")
    if facts.get("Seccomp") != str(_FILTERED):
        wrong.append("Seccomp: no filter")
    uid, gid = facts.get("uid", ""), facts.get("gid", "")
    if f"{uid}:{gid}" != USER:
        wrong.append(f"uid: is {uid}:{gid}, not {USER}")
    interfaces = tuple(facts.get("interfaces", "?").split())
    if set(interfaces) - {"lo"}:
        wrong.append(f"interfaces: {', '.join(interfaces)}")
    wrong += _mount_differences(facts, mounts)
    usable = words.abi >= LANDLOCK_ABI_NEEDED
    if not usable and kernel_policy is KernelPolicy.REQUIRE:
        raise KernelUnsupported(
            f"the kernel's Landlock (ABI {words.abi}) can't enforce a policy, which takes ABI "
            f"{LANDLOCK_ABI_NEEDED} (Linux 6.2): use a newer kernel, or go on with checks only by "
            "--kernel-policy=prefer"
        )
    probes = (words.probe_read, words.probe_executed)
    if usable and probe is not None and probes != (_EACCES, _EACCES):
        wrong.append(f"Landlock: {probe} is forbidden, yet reading or executing it gave {probes}")
    if wrong:
        raise SealBroken("the container is not sealed as planned: " + "; ".join(wrong))
    return SealReport(
        kernel_enforced=usable,
        landlock_abi=words.abi,
        cap_eff=int(facts["CapEff"], 16),
        cap_bnd=int(facts["CapBnd"], 16),
        no_new_privs=True,
        seccomp=_FILTERED,
        uid=int(uid),
        interfaces=interfaces,
        noexec=noexec_targets(mounts),
        memory_sealed=facts.get("memory") == "sealed",
        moves_copy=facts.get("moves") == "copy",
        probed=probe if usable else None,
        missing=missing,
        notes=(*notes, *_code_notes(facts, seals_memory=seals_memory, mounts=mounts)),
    )


def _mount_differences(facts: Mapping[str, str], mounts: Sequence[Mount]) -> list[str]:
    """What the container itself sees mounted, against the plan."""
    if not mounts:
        return []
    closed, open_ = (set(facts.get(key, "").split()) for key in ("noexec", "exec"))
    wrong = [
        f"{target}: is not mounted noexec"
        for target in noexec_targets(mounts)
        if target not in closed or target in open_
    ]
    tops = tuple(f"{target}/" for target in noexec_targets(mounts))
    wrong += [f"{path}: is mounted there" for path in sorted(open_) if path.startswith(tops)]
    if facts.get("volumes") != "masked":
        wrong.append(f"{VOLUMES.decode()}: is not masked")
    return wrong


def _code_notes(
    facts: Mapping[str, str], *, seals_memory: bool, mounts: Sequence[Mount]
) -> list[str]:
    """Where `exec_workspace: false` holds less than it says, for a person to know."""
    notes = []
    if seals_memory and not mounts:
        notes.append(
            "`exec_workspace: false` holds for execve only: this engine does not mount the "
            "workspace noexec, so native code in it can be loaded through the loader"
        )
    if seals_memory and facts.get("memory") != "sealed":
        notes.append(
            "memory that was written can be made executable: the kernel can't refuse it "
            "(Linux 6.3 can)"
        )
    return notes
