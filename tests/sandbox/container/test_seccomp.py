"""The system call profile, judged as the container runtime applies it."""

import json
from typing import Any

import pytest

from sandbox.container import seccomp

HIGH = 1 << 32
"""Above what the kernel looks at, where an argument is 32 bits wide."""

TIOCSTI, TIOCLINUX, TCGETS = 0x5412, 0x541C, 0x5401
PROT_EXEC, MAP_FIXED, MAP_ANONYMOUS, MAP_DENYWRITE, MAP_HUGETLB = 4, 0x10, 0x20, 0x800, 0x40000
SHM_RDONLY, SHM_EXEC = 0x1000, 0x8000
CLONE_VM, CLONE_NEWUSER, CLONE_NEWNET = 0x100, 0x10000000, 0x40000000


def holds(condition: dict[str, Any], arguments: tuple[int, ...]) -> bool:
    found = arguments[condition["index"]]
    match condition["op"]:
        case "SCMP_CMP_EQ":
            return bool(found == condition["value"])
        case "SCMP_CMP_NE":
            return bool(found != condition["value"])
        case "SCMP_CMP_MASKED_EQ":
            return bool(found & condition["value"] == condition["valueTwo"])
        case other:
            raise AssertionError(other)


def allowed(profile: str, name: str, *arguments: int) -> bool:
    """As runc does: rules on one call are alternatives, and so are conditions on one argument."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)
    for rule in json.loads(profile)["syscalls"]:
        if name not in rule["names"]:
            continue
        conditions = rule.get("args") or []
        indexes = [condition["index"] for condition in conditions]
        quantifier = any if len(set(indexes)) < len(indexes) else all
        met = not conditions or quantifier(holds(condition, padded) for condition in conditions)
        if met and rule["action"] == "SCMP_ACT_ALLOW":
            return True
    return False


@pytest.fixture(params=[True, False], ids=["exec", "no-exec"])
def profile(request: pytest.FixtureRequest) -> str:
    return seccomp.profile(exec_memory_files=request.param)


def test_what_is_not_listed_is_answered_as_unknown(profile: str) -> None:
    document = json.loads(profile)
    assert document["defaultAction"] == "SCMP_ACT_ERRNO"
    assert document["defaultErrnoRet"] == 38


DANGEROUS = """
    io_uring_setup io_uring_enter io_uring_register ptrace process_vm_readv process_vm_writev
    process_madvise pidfd_getfd kcmp bpf perf_event_open userfaultfd mount umount2 pivot_root chroot
    move_mount open_tree fsopen fsmount fsconfig fspick mount_setattr unshare setns clone3 keyctl
    add_key request_key init_module finit_module delete_module kexec_load kexec_file_load reboot
    swapon swapoff syslog acct quotactl open_by_handle_at name_to_handle_at fanotify_init
    lookup_dcookie nfsservctl vhangup iopl ioperm modify_ldt settimeofday clock_settime adjtimex
    clock_adjtime sethostname setdomainname move_pages migrate_pages memfd_secret
    socketcall uselib ustat sysfs
"""
NEEDED = """
    read write openat execve vfork fork wait4 mmap futex rseq landlock_create_ruleset pidfd_open
    epoll_wait getrandom statx rt_sigtimedwait accept4 sendmsg
"""


@pytest.mark.parametrize("name", DANGEROUS.split())
def test_a_dangerous_call_is_refused(profile: str, name: str) -> None:
    assert not allowed(profile, name)


@pytest.mark.parametrize("name", ["fsync", "fdatasync", "sync", "syncfs", "sync_file_range"])
def test_waiting_for_the_disk_succeeds_at_once_where_nothing_outlives_the_machine(
    name: str, profile: str
) -> None:
    assert allowed(profile, name)
    without = seccomp.profile(exec_memory_files=True, reaches_disk=False)
    assert not allowed(without, name)
    (rule,) = (rule for rule in json.loads(without)["syscalls"] if name in rule["names"])
    assert (rule["action"], rule["errnoRet"], rule.get("args")) == ("SCMP_ACT_ERRNO", 0, None)


@pytest.mark.parametrize("name", NEEDED.split())
def test_what_programs_need_is_allowed(profile: str, name: str) -> None:
    assert allowed(profile, name)


@pytest.mark.parametrize("family", range(64))
def test_sockets_are_of_families_that_end_at_the_network_namespace(
    profile: str, family: int
) -> None:
    assert allowed(profile, "socket", family, 1) == (family in {1, 2, 10, 16})
    assert not allowed(profile, "socket", family | HIGH, 1) or family in {1, 2, 10, 16}


@pytest.mark.parametrize("bit", [1 << place for place in (7, 17, 25, 26, 27, 28, 29, 30)])
def test_no_clone_makes_a_namespace(profile: str, bit: int) -> None:
    # CLONE_NEWTIME (1 << 7) is a flag of clone3 alone; in clone it is part of the signal.
    assert allowed(profile, "clone", bit | CLONE_VM) == (bit == 1 << 7)
    assert allowed(profile, "clone", CLONE_VM | 17)


def test_namespaces_are_refused_together_too(profile: str) -> None:
    assert not allowed(profile, "clone", CLONE_NEWUSER | CLONE_NEWNET | CLONE_VM)


@pytest.mark.parametrize("request_", [TIOCSTI, TIOCLINUX, TIOCSTI | HIGH, TIOCLINUX | (HIGH << 31)])
def test_nothing_types_into_a_terminal(profile: str, request_: int) -> None:
    assert not allowed(profile, "ioctl", 0, request_)


def test_every_other_request_to_a_device_is_allowed(profile: str) -> None:
    near = (
        set(range(0x5300, 0x5500)) | {TIOCSTI ^ (1 << place) for place in range(32)} | {0, TCGETS}
    )
    refused = {request for request in near if not allowed(profile, "ioctl", 0, request)}
    assert refused == {TIOCSTI, TIOCLINUX}


OPEN = seccomp.profile(exec_memory_files=True)
CLOSED = seccomp.profile(exec_memory_files=False)


@pytest.mark.parametrize("flags", range(16))
def test_memory_files_are_made_only_where_the_policy_says(flags: int) -> None:
    """MFD_NOEXEC_SEAL (8) keeps one from execve, not from being mapped as code."""
    assert not allowed(CLOSED, "memfd_create", 0, flags)
    assert allowed(OPEN, "memfd_create", 0, flags)


@pytest.mark.parametrize("call", ["mmap", "mmap2"])
@pytest.mark.parametrize("kind", [1, 3, 1 | MAP_ANONYMOUS, 1 | HIGH, 1 | MAP_HUGETLB])
def test_shared_memory_is_never_code_where_the_policy_says(call: str, kind: int) -> None:
    for prot in (PROT_EXEC, PROT_EXEC | 1, PROT_EXEC | 3, PROT_EXEC | HIGH):
        assert not allowed(CLOSED, call, 0, 4096, prot, kind)
        assert allowed(OPEN, call, 0, 4096, prot, kind)
    assert allowed(CLOSED, call, 0, 4096, 3, kind)


def test_programs_and_libraries_are_mapped_everywhere(profile: str) -> None:
    for kind in (2, 2 | MAP_ANONYMOUS, 2 | MAP_FIXED | MAP_DENYWRITE):
        for prot in range(8):
            assert allowed(profile, "mmap", 0, 4096, prot, kind)


def test_shared_segments_are_never_code_where_the_policy_says() -> None:
    for flags in (SHM_EXEC, SHM_EXEC | SHM_RDONLY, SHM_EXEC | HIGH):
        assert not allowed(CLOSED, "shmat", 0, 0, flags)
        assert allowed(OPEN, "shmat", 0, 0, flags)
    assert allowed(CLOSED, "shmat", 0, 0, SHM_RDONLY)


def test_limits_are_set_for_oneself_only(profile: str) -> None:
    assert allowed(profile, "prlimit64", 0, 7)
    assert not allowed(profile, "prlimit64", 1, 7)


def test_a_call_with_conditions_is_not_allowed_without_them_elsewhere(profile: str) -> None:
    rules = json.loads(profile)["syscalls"]
    conditional = {name for rule in rules if rule.get("args") for name in rule["names"]}
    plain = {name for rule in rules if not rule.get("args") for name in rule["names"]}
    assert conditional & plain <= {"memfd_create"}
    assert {"clone", "ioctl", "personality", "prlimit64", "socket"} <= conditional


PUNCH_HOLE = 3
RESERVING = (0x40305828, 0x4030582A, 0x40305839, 0x401C5820)


@pytest.mark.parametrize("mode", [0, 1, 2, 8, 16, 32, 64, PUNCH_HOLE | 16])
def test_space_is_not_taken_without_writing(profile: str, mode: int) -> None:
    assert not allowed(profile, "fallocate", 3, mode, 0, 1 << 40)
    assert allowed(profile, "fallocate", 3, PUNCH_HOLE, 0, 1 << 40)


def test_a_refused_reservation_is_told_as_not_supported_so_that_libraries_write(
    profile: str,
) -> None:
    rules = [rule for rule in json.loads(profile)["syscalls"] if rule["names"] == ["fallocate"]]
    told = [rule for rule in rules if rule["action"] == "SCMP_ACT_ERRNO"]
    assert [rule["errnoRet"] for rule in told] == [95]
    assert [holds(told[0]["args"][0], (3, mode)) for mode in (0, 1, PUNCH_HOLE)] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("request_", RESERVING)
def test_nor_by_its_other_names(profile: str, request_: int) -> None:
    assert not allowed(profile, "ioctl", 3, request_)
    assert not allowed(profile, "ioctl", 3, request_ | HIGH)
    for place in range(32):
        assert allowed(profile, "ioctl", 3, request_ ^ (1 << place)) == (
            request_ ^ (1 << place) not in RESERVING
        )
