"""The system calls a sandbox may make: a list of what is allowed, all else answers ENOSYS.

Owns the profile as data for the engine (`SecurityOpt: seccomp=`). Beside the usual dangers it
leaves out what an engine's own default lets through on some versions: io_uring, tracing of other
processes, sockets of families that no network namespace contains (vsock reaches the host of
a virtual machine), and taking disk space without writing to it.
"""

import errno
import json

# Names from the kernel's table (arch/x86/entry/syscalls/syscall_64.tbl and its arm64 counterpart);
# a name that the machine's libseccomp does not know is skipped by the container runtime.
_FILES = """
access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat
faccessat2 fadvise64 fadvise64_64 fchdir fchmod fchmodat fchmodat2 fchown fchown32
fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64
fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64
getxattr inotify_add_watch inotify_init inotify_init1 inotify_rm_watch lchown lchown32 lgetxattr
link linkat listxattr llistxattr lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod
mknodat newfstatat _llseek open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2
read readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile
sendfile64 setxattr splice stat stat64 statfs statfs64 statx symlink symlinkat sync
sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat
utimensat_time64 utimes vmsplice write writev cachestat landlock_create_ruleset landlock_add_rule
landlock_restrict_self
"""
_MEMORY = """
brk madvise membarrier mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap mseal msync
munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect map_shadow_stack get_mempolicy
set_mempolicy mbind set_mempolicy_home_node
"""
_PROCESSES = """
arch_prctl capget capset execve execveat exit exit_group fork futex futex_time64 futex_wait
futex_waitv futex_wake futex_requeue get_robust_list get_thread_area getcpu getegid getegid32
geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority
getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 kill
nanosleep pause pidfd_open pidfd_send_signal prctl restart_syscall riscv_flush_icache rseq
rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_rr_get_interval_time64 sched_yield seccomp
set_robust_list set_thread_area set_tid_address setfsgid setfsuid
setgid setgroups setitimer getitimer setpgid setregid setresgid setresuid
setreuid setrlimit setsid setuid sigaltstack sysinfo tgkill time times tkill ugetrlimit uname
vfork wait4 waitid waitpid
"""
_EVENTS = """
alarm clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep
clock_nanosleep_time64 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
epoll_wait epoll_wait_old eventfd eventfd2 getrandom gettimeofday io_cancel io_destroy
io_getevents io_pgetevents io_setup io_submit ioprio_get ipc mq_getsetattr mq_notify
mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl
msgget msgrcv msgsnd pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select _newselect
semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget signalfd signalfd4
timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime
timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
"""
_SOCKETS = """
accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg
recvmmsg_time64 recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketpair
"""

_SOCKET_FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET, AF_INET6: all of them end at the network namespace."""

_NETLINK = 16
_NETLINK_ROUTE = 0
"""Of AF_NETLINK only what lists interfaces: by another protocol of it (kobject uevents) a container
without a user namespace hears of every device that comes or goes on the host."""

_OWN_SCHEDULING = (
    ("sched_setaffinity", 0, ()),
    ("sched_setattr", 0, ()),
    ("sched_setparam", 0, ()),
    ("sched_setscheduler", 0, ()),
    ("setpriority", 1, ((0, 0),)),
    ("ioprio_set", 1, ((0, 1),)),
)
"""Calls, the argument that says whose scheduling it is, and values other arguments must have
(PRIO_PROCESS, IOPRIO_WHO_PROCESS: not of a whole user)."""

_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID and NET (linux/sched.h)."""

_PERSONALITIES = (0x0, 0x0008, 0x20000, 0x20008, 0xFFFFFFFF)
_PROT_EXEC = 0x4
_MAP_TYPE, _MAP_PRIVATE = 0xF, 0x2
_SHM_EXEC = 0x8000
_REFUSED_REQUESTS = (
    0x5412,  # TIOCSTI
    0x541C,  # TIOCLINUX
    0x40305828,  # FS_IOC_RESVSP
    0x4030582A,  # FS_IOC_RESVSP64
    0x40305839,  # FS_IOC_ZERO_RANGE
    0x401C5820,  # FS_IOC_FSSETXATTR
)
"""Requests to a device or file (ioctl): two type into a terminal which someone else may read, three
are fallocate by another name, and with one a single byte takes a gigabyte on XFS (extsize)."""

_TO_DISK = ("fdatasync", "fsync", "sync", "sync_file_range", "syncfs")

_PUNCH_HOLE = 0x3
"""FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE: the one use of fallocate that gives space back."""
_REQUEST_BITS = 32


def _argument(index: int, value: int, compare: str, mask_value: int = 0) -> dict[str, object]:
    return {"index": index, "value": value, "valueTwo": mask_value, "op": compare}


def _allow(name: str, *arguments: dict[str, object]) -> dict[str, object]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": list(arguments)}


def _ioctls() -> list[dict[str, object]]:
    """Every ioctl but the refused ones.

    Rules on one call are alternatives, and the container runtime makes alternatives of two
    conditions on one argument too: "neither this nor that" would allow both. So what is allowed is
    said by beginnings: each that no refused request has, and all but its last bit one has. The
    kernel looks at 32 bits only, as we do.
    """
    rules = []
    for length in range(1, _REQUEST_BITS + 1):
        rest = _REQUEST_BITS - length
        mask = ((1 << length) - 1) << rest
        held = {request & mask for request in _REFUSED_REQUESTS}
        beside = sorted({beginning ^ (1 << rest) for beginning in held} - held)
        rules += [
            _allow("ioctl", _argument(1, mask, "SCMP_CMP_MASKED_EQ", beginning))
            for beginning in beside
        ]
    return rules


def profile(*, exec_memory_files: bool, reaches_disk: bool = True) -> str:
    """The profile as the engine takes it: JSON.

    Args:
        exec_memory_files: whether code may be executed out of memory that something wrote
            elsewhere (``memfd_create``, shared memory), which no rule on paths can see.
        reaches_disk: whether to wait until files are on the disk. False where nothing is kept of a
            machine that fails: calls that would wait for it (`fsync`) succeed and do nothing.
    """
    plain = sorted(f"{_FILES}{_MEMORY}{_PROCESSES}{_EVENTS}{_SOCKETS}".split())
    if not reaches_disk:
        plain = [name for name in plain if name not in _TO_DISK]
    if not exec_memory_files:
        plain = [name for name in plain if name not in {"mmap", "mmap2", "shmat"}]
    rules: list[dict[str, object]] = [{"names": plain, "action": "SCMP_ACT_ALLOW", "args": []}]
    rules += [_allow("socket", _argument(0, family, "SCMP_CMP_EQ")) for family in _SOCKET_FAMILIES]
    route = (_argument(0, _NETLINK, "SCMP_CMP_EQ"), _argument(2, _NETLINK_ROUTE, "SCMP_CMP_EQ"))
    rules.append(_allow("socket", *route))
    rules += [_allow("personality", _argument(0, kind, "SCMP_CMP_EQ")) for kind in _PERSONALITIES]
    rules.append(_allow("clone", _argument(0, _NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ")))
    if not reaches_disk:
        rules.append({"names": list(_TO_DISK), "action": "SCMP_ACT_ERRNO", "errnoRet": 0})
    # Only its own limits: set from outside, a limit on cpu time or files would end the guest,
    # which runs as the same user.
    rules.append(_allow("prlimit64", _argument(0, 0, "SCMP_CMP_EQ")))
    # Nobody's scheduling but the caller's own. The guest runs as the same user: idle, on one
    # processor, behind two hundred that spin, it could not even die when the engine kills it.
    for name, whose, others in _OWN_SCHEDULING:
        conditions = [_argument(index, value, "SCMP_CMP_EQ") for index, value in others]
        rules.append(_allow(name, _argument(whose, 0, "SCMP_CMP_EQ"), *conditions))
    # Its flags stand in memory that a filter can't read; told that it does not exist, a library
    # takes clone. Said explicitly: engines before 22 know no default error number.
    rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS})
    # Space is taken by writing it, which takes time in which a look at the disk can stop it: by
    # this call a process has all of the host's disk in a millisecond. A library that is told it is
    # not supported writes instead.
    rules.append(_allow("fallocate", _argument(1, _PUNCH_HOLE, "SCMP_CMP_EQ")))
    rules.append(
        {
            "names": ["fallocate"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": errno.EOPNOTSUPP,
            "args": [_argument(1, _PUNCH_HOLE, "SCMP_CMP_NE")],
        }
    )
    rules += _ioctls()
    if exec_memory_files:
        rules.append(_allow("memfd_create"))
    else:
        # No memfd_create at all: MFD_NOEXEC_SEAL keeps one from execve, not from mmap. Code is
        # mapped privately only: shared pages can be mapped a second time, or in a child, and
        # written there, which the kernel's own seal (PR_SET_MDWE, by the guest) lets pass.
        unshared = _argument(3, _MAP_TYPE, "SCMP_CMP_MASKED_EQ", _MAP_PRIVATE)
        for name in ("mmap", "mmap2"):
            rules.append(_allow(name, _argument(2, _PROT_EXEC, "SCMP_CMP_MASKED_EQ", 0)))
            rules.append(_allow(name, unshared))
        rules.append(_allow("shmat", _argument(2, _SHM_EXEC, "SCMP_CMP_MASKED_EQ", 0)))
    return json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            # A library then falls back to an older call.
            "defaultErrnoRet": errno.ENOSYS,
            "archMap": [
                {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
            ],
            "syscalls": rules,
        }
    )
