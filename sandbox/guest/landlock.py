"""Landlock: the kernel's half of the policy, applied to the calling thread.

By the C module beneath `ctypes`, whose own classes are 0.25 MB in every container. Source of names
and numbers: linux/landlock.h, Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import _ctypes
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.guest.protocol import PathAccess

# What a rule may grant, as the host writes it (policies.kernel.Access).
READ = 1
WRITE = 2
EXECUTE = 4
LIST = 8

_EXECUTE = 1 << 0
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_CHANGE_ENTRIES = 0b1_1111_1111 << 4  # remove and make entries of every type
_REFER = 1 << 13  # since ABI 2
_TRUNCATE = 1 << 14  # since ABI 3
_IOCTL_DEV = 1 << 15  # since ABI 5

SCOPES_ABI = 6
"""Since then a domain can be kept from signalling what is outside of it."""

_MAKE_CHAR = 1 << 6
_MAKE_BLOCK = 1 << 11

_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
"""Rights that a rule on a file may carry; others on a file are an error to the kernel."""

_SCOPE_ABSTRACT_UNIX = 1 << 0  # since ABI 6
_SCOPE_SIGNAL = 1 << 1

_SYS_CREATE_RULESET = 444
_SYS_ADD_RULE = 445
_SYS_RESTRICT_SELF = 446
_SYS_OPENAT2 = 437
_AT_FDCWD = -100
_RESOLVE_NO_SYMLINKS = 0x04
_RULE_PATH_BENEATH = 1
_CREATE_RULESET_VERSION = 1

_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_MDWE = 65  # since Linux 6.3
_PR_GET_MDWE = 66
_MDWE_REFUSE_EXEC_GAIN = 1

_SECCOMP_MODE_FILTER = 2
_LOAD_NUMBER = 0x20  # BPF_LD | BPF_W | BPF_ABS: the system call's number stands at 0
_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_ANSWER = 0x06  # BPF_RET | BPF_K
_RET_ALLOW = 0x7FFF0000
_RET_ERRNO = 0x00050000
_ENOSYS = 38


def _kind(letter: str) -> type:
    return type("Kind", (_ctypes._SimpleCData,), {"_type_": letter})  # noqa: SLF001 - as ctypes does


_Int, _Long, _Address = _kind("i"), _kind("l"), _kind("z")


class _Function(_ctypes.CFuncPtr):
    _flags_ = _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO


_ITSELF = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # as dlopen(3) has it


def _found(name: str, result: type) -> Callable[..., int]:
    function = _Function(_ctypes.dlsym(_ITSELF, name))
    function.restype = result
    return function


_syscall = _found("syscall", _Long)
_prctl = _found("prctl", _Int)


def _call(function: Callable[..., int], *values: int | bytes | None) -> int:
    """What the kernel gives; numbers go as wide as a register, bytes and None by their address."""
    return function(*[_Long(value) if isinstance(value, int) else value for value in values])


def _checked(function: Callable[..., int], *values: int | bytes | None) -> int:
    result = _call(function, *values)
    if result < 0:
        number = _ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _fields(*fields: tuple[int, int]) -> bytes:
    """A structure of the kernel's without gaps, from numbers and their sizes in bytes."""
    return b"".join(value.to_bytes(size, sys.byteorder) for value, size in fields)


def abi() -> int:
    """Version of the kernel's Landlock; 0 where there is none."""
    return max(_call(_syscall, _SYS_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION), 0)


def _handled(version: int) -> int:
    rights = _EXECUTE | _WRITE_FILE | _READ_FILE | _READ_DIR | _CHANGE_ENTRIES
    if version >= 2:
        rights |= _REFER
    if version >= 3:
        rights |= _TRUNCATE
    if version >= 5:
        rights |= _IOCTL_DEV
    return rights


def _rights(access: int) -> int:
    rights = 0
    if access & READ:
        rights |= _READ_FILE
    if access & LIST:
        rights |= _READ_DIR
    if access & EXECUTE:
        rights |= _EXECUTE
    if access & WRITE:
        entries = _CHANGE_ENTRIES & ~(_MAKE_CHAR | _MAKE_BLOCK)
        rights |= _WRITE_FILE | _TRUNCATE | _IOCTL_DEV | _REFER | entries
    return rights


def _new_ruleset(version: int, handled: int, scoped: int) -> int:
    attr = _fields((handled, 8), (0, 8), (scoped, 8))  # of files, of the network, scopes
    size = len(attr) if version >= 6 else (16 if version >= 4 else 8)
    return _checked(_syscall, _SYS_CREATE_RULESET, attr, size, 0)


def _add_rule(ruleset: int, target: int, rights: int) -> None:
    attr = _fields((rights, 8), (target, 4))
    _checked(_syscall, _SYS_ADD_RULE, ruleset, _RULE_PATH_BENEATH, attr, 0)


def _restrict(ruleset: int) -> None:
    _checked(_syscall, _SYS_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _open_plain(path: bytes) -> int:
    """Open the place that a rule is for; a path that leads through a symbolic link is no place.

    The workspace is the adversary's from the start, and at a restart so are /tmp and home: with
    `src` a link to /usr/bin/perl, a policy that lets `src` be written would grant perl.
    """
    how = _fields((os.O_PATH | os.O_CLOEXEC, 8), (0, 8), (_RESOLVE_NO_SYMLINKS, 8))
    try:
        return _checked(_syscall, _SYS_OPENAT2, _AT_FDCWD, path, how, len(how))
    except OSError:
        if path.startswith(b"/dev/"):  # the engine makes /dev/ptmx a link
            return os.open(path, os.O_PATH | os.O_CLOEXEC)
        raise


def restrict_files(rules: list[PathAccess]) -> list[bytes]:
    """Allow this thread, and all it starts, no more of the file tree than `rules` say.

    Gives the paths that do not exist or lead through a symbolic link, which get no rule.
    """
    version = abi()
    handled = _handled(version)
    ruleset = _new_ruleset(version, handled, 0)
    missing: list[bytes] = []
    for rule in rules:
        try:
            target = _open_plain(rule.path)
        except OSError:
            missing.append(rule.path)
            continue
        try:
            rights = _rights(rule.access) & handled
            if os.fstat(target).st_mode & 0o170000 != 0o040000:
                rights &= _OF_FILES
            if rights:
                _add_rule(ruleset, target, rights)
        finally:
            os.close(target)
    _restrict(ruleset)
    return missing


def restrict_reach() -> None:
    """Forbid this thread, and all it starts, to signal, trace or call anything outside of them.

    The domain handles no opening of files, so it adds nothing to the cost of that. Where the
    kernel has no scopes (ABI below 6) the domain is still a boundary for ptrace; the guest then
    relies on being process 1, to which the kernel delivers no signal from inside.
    """
    version = abi()
    # Every domain refuses renames and links between directories unless it says otherwise.
    handled = _REFER if version >= 2 else _MAKE_BLOCK
    scoped = _SCOPE_SIGNAL | _SCOPE_ABSTRACT_UNIX if version >= 6 else 0
    ruleset = _new_ruleset(version, handled, scoped)
    if handled == _REFER:
        top = os.open(b"/", os.O_PATH | os.O_CLOEXEC)
        _add_rule(ruleset, top, _REFER)
        os.close(top)
    _restrict(ruleset)


def keep_to_oneself() -> None:
    """Let this thread, and all it starts, make no rulesets any more: to them there is no Landlock.

    A ruleset holds the files that its rules are on. Without a name, and with the ruleset in force
    and its descriptor closed, nobody could see any more what they take of the disk.
    """
    instructions = (
        (_LOAD_NUMBER, 0, 0, 0),
        (_IF_EQUAL, 0, 1, _SYS_CREATE_RULESET),
        (_ANSWER, 0, 0, _RET_ERRNO | _ENOSYS),
        (_ANSWER, 0, 0, _RET_ALLOW),
    )
    code = b"".join(
        _fields((load, 2), (if_true, 1), (if_false, 1), (value, 4))
        for load, if_true, if_false, value in instructions
    )
    address = _Address(code)
    pointer = bytes(memoryview(address))  # its memory
    program = _fields((len(instructions), 2)).ljust(len(pointer), b"\0") + pointer
    _checked(_prctl, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0)


def close_to_tracing() -> None:
    """Take this process's memory and /proc entries out of reach of others of the same user."""
    _checked(_prctl, _PR_SET_DUMPABLE, 0, 0, 0, 0)


def adopt_orphans() -> None:
    """Have every process that descends from this one stay below it, whoever between them ends."""
    _checked(_prctl, _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def no_new_privileges() -> None:
    """What Landlock wants of a thread before it restricts itself."""
    _checked(_prctl, _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def seal_memory() -> None:
    """Let no memory become executable that is not so from its mapping on, nor be so and writable.

    For this process, and for all that it starts: the kernel hands it on over fork and exec. One
    that does not know it is no error here; `memory_sealed` tells.
    """
    _call(_prctl, _PR_SET_MDWE, _MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)


def memory_sealed() -> bool:
    """Whether that holds for this process."""
    held = _call(_prctl, _PR_GET_MDWE, 0, 0, 0, 0)
    return held > 0 and bool(held & _MDWE_REFUSE_EXEC_GAIN)


def _pidfd_open(pid: int) -> int:
    return _checked(_syscall, 434, pid, 0)


pidfd_open = getattr(os, "pidfd_open", _pidfd_open)
"""From a process to a descriptor that becomes readable when it ends; Python has it since 3.9."""
