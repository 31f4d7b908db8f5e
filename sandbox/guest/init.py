"""The guest as process 1: sets itself up, restricts itself, reaps, ends when it should.

Two threads. The leader waits for signals and restricts its file access only. The server thread
restricts its reach as well, and starts all commands: they inherit that, so that none can signal
or trace the leader, and process 1 as a whole with it. SIGTERM counts only from outside of the
container, where the kernel gives no sender's id.
"""

from __future__ import annotations

import _thread
import os
import time

from sandbox.guest import disk, landlock, message, pipes, server, wire
from sandbox.guest.loop import GuestConfig
from sandbox.guest.protocol import SCRATCH, VOLUMES, FirstWords, GuestSetup, SealFact

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal  # `signal` makes enumerations: a twentieth of an idle sandbox's memory

_STATUS_KEYS = (b"CapInh", b"CapPrm", b"CapEff", b"CapBnd", b"CapAmb", b"NoNewPrivs", b"Seccomp")
_REAP_DELAY_S = 0.02
_SLURP_LIMIT = 1 << 18
_SI_USER = 0


def _slurp(path: str) -> bytes:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    data = b""
    try:
        # The kernel gives such a file a page at a time.
        while len(data) < _SLURP_LIMIT and (piece := os.read(handle, _SLURP_LIMIT)):
            data += piece
    finally:
        os.close(handle)
    return data


def _setup_of_host() -> GuestSetup:
    """Read exactly the host's first frame: what follows it belongs to the server."""

    def exactly(count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = os.read(0, count - len(data))
            if not piece:
                os._exit(0)
            data += piece
        return data

    frame = wire.decode(exactly(int.from_bytes(exactly(4), "big")))
    _, setup = message.read(frame, message.HostRequest)
    if not isinstance(setup, GuestSetup):
        raise message.ProtocolError("the host's first words are others")
    return setup


def _clock_ns() -> int:
    """The file system's own clock, which is what changed files will be compared with.

    Looked at once in a container's life, before anything of the adversary's ran: at a restart
    nothing in /tmp may decide whether the guest comes up.
    """
    handle = pipes.create(SCRATCH + b"/clock")
    try:
        return os.fstat(handle).st_ctime_ns
    finally:
        os.close(handle)


def _facts(workspace: bytes, *, sealed: bool) -> list[SealFact]:
    """What the process sees of its own seal, for the host to compare with the spec."""
    facts: dict[bytes, bytes] = {}
    for line in _slurp("/proc/thread-self/status").splitlines():
        key, _, value = line.partition(b":")
        if key in _STATUS_KEYS:
            facts[key] = value.strip()
    facts[b"uid"] = b"%d" % os.getuid()
    facts[b"gid"] = b"%d" % os.getgid()
    names = [line.partition(b":")[0].strip() for line in _slurp("/proc/net/dev").splitlines()[2:]]
    facts[b"interfaces"] = b" ".join(names)
    mounts = _mounts()
    facts[b"moves"] = b"copy" if _moves_copy(mounts, workspace) else b"keep"
    if sealed:
        facts[b"memory"] = b"sealed" if landlock.memory_sealed() else b"open"
        for key, noexec in ((b"noexec", True), (b"exec", False)):
            paths = [path for path, row in mounts.items() if (b"noexec" in row[0]) is noexec]
            facts[key] = b" ".join(paths)
        masked = mounts.get(VOLUMES, ([b""], b"", b""))
        facts[b"volumes"] = b"masked" if masked[1] == b"tmpfs" else b"open"
    return [SealFact(key=key, value=value) for key, value in facts.items()]


def _mounts() -> dict[bytes, tuple[list[bytes], bytes, bytes]]:
    """The uppermost mount at each path: flags, kind and options; /proc and /sys left out."""
    found = {}
    for line in _slurp("/proc/self/mountinfo").splitlines():
        fields, _, rest = line.partition(b" - ")
        path, flags = fields.split()[4:6]
        if not path.startswith((b"/proc/", b"/sys/")):
            found[path] = (flags.split(b","), rest.split()[0], rest)
    return found


def _moves_copy(mounts: dict[bytes, tuple[list[bytes], bytes, bytes]], workspace: bytes) -> bool:
    """Whether a directory of the baseline can be moved only by copying all that is in it.

    So it is on a layered file system, unless that keeps a list of moved directories. Elsewhere
    files move along with their old times, and what changed does not show in times alone.
    """
    _, kind, options = mounts.get(workspace) or mounts.get(b"/") or ([], b"", b"")
    listed = b"redirect_dir=on" in options
    unlisted = b"redirect_dir=off" in options or b"redirect_dir=nofollow" in options
    setting = _slurp("/sys/module/overlay/parameters/redirect_dir").strip()
    return kind == b"overlay" and not listed and (unlisted or setting == b"N")


def _layered(mounts: dict[bytes, tuple[list[bytes], bytes, bytes]]) -> frozenset[int]:
    """Devices of the layered file systems on which a directory tells whether anything below it was
    changed (`files.is_untouched`).

    Not where several names of one file may lie in the layers below and be changed by any of them:
    the kernel then keeps an index, which breaks links no more (overlayfs.rst, "Index").
    """
    setting = _slurp("/sys/module/overlay/parameters/index").strip()
    found = set()
    for path, (_, kind, options) in mounts.items():
        off = b"index=off" in options or (setting == b"N" and b"index=on" not in options)
        if kind == b"overlay" and off:
            try:
                found.add(os.stat(path).st_dev)
            except OSError:
                continue
    return frozenset(found)


def _read_probe(path: bytes) -> int:
    """Try to read what the policy forbids; gives the error number, 0 for success."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno or -1
    return 0


def _execute_probe(path: bytes) -> int:
    """Try to execute what the policy forbids; gives the error number, 0 for success."""
    try:
        pid = os.posix_spawn(path, [path, b"--version"], {}, setsigmask=())
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except OSError as error:
        return error.errno or -1
    return 0


def _serve(
    config: GuestConfig, wake: int, setup: GuestSetup, abi: int, missing: list[bytes]
) -> None:
    """The server thread: restrict, report, serve; whatever ends it ends the container."""
    try:
        if abi:
            landlock.no_new_privileges()
            landlock.restrict_reach()
            landlock.keep_to_oneself()
        service = server.Server(config, wake)
        service.send(
            0,
            FirstWords(
                abi=abi,
                missing=missing,
                facts=_facts(config.workspace, sealed=setup.seal_memory),
                probe_read=_read_probe(setup.probe) if setup.probe else None,
                probe_executed=_execute_probe(setup.probe) if setup.probe else None,
                since_ns=config.since_ns,
            ),
        )
        service.run()
    except BaseException as error:  # noqa: BLE001 - the last words of process 1
        os.write(2, os.fsencode(f"guest: {type(error).__name__}: {error}\n"))
        os._exit(70)
    os._exit(0)


def _lead(config: GuestConfig, wake: int) -> None:
    """Wait: for children to reap, for the engine's SIGTERM, for the end of the lifetime."""
    while True:
        left = config.end - time.monotonic()
        if left <= 0:
            break
        info = signal.sigtimedwait({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT}, left)
        if info is None:
            continue  # the host may have prolonged it meanwhile
        if info.si_signo == signal.SIGCHLD:
            # The server sees its own commands end at once; this is for orphans, which can wait.
            time.sleep(_REAP_DELAY_S)
            try:
                if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    os.write(wake, b".")
            except (ChildProcessError, BlockingIOError):
                pass  # all taken already; or full of unread wake-ups: one more says nothing new
        # A sender's id can be forged (rt_sigqueueinfo), but not together with the code of kill.
        elif info.si_pid == 0 and info.si_code == _SI_USER:
            break
    try:
        os.kill(-1, signal.SIGKILL)
    except OSError:
        pass
    os._exit(0)


def main() -> None:
    """Run as process 1."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT})
    setup = _setup_of_host()
    config = GuestConfig(setup)
    config.since_ns = setup.since_ns or _clock_ns()
    config.prolong()
    config.layered = _layered(_mounts())
    config.disk = _disk(config, setup)
    if setup.seal_memory:
        landlock.seal_memory()
    abi = landlock.abi()
    if setup.services and abi >= landlock.SCOPES_ABI:
        # Before any rule: services are held to others than commands are.
        from sandbox.guest import services, supervisor  # noqa: PLC0415 - few policies have some

        config.services = services.Services(*supervisor.begin(config.environment))
    landlock.close_to_tracing()
    missing: list[bytes] = []
    if abi:
        landlock.no_new_privileges()
        missing = landlock.restrict_files(setup.rules)
        config.executable = [r.path for r in setup.rules if r.access & landlock.EXECUTE]
    wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    _thread.start_new_thread(_serve, (config, wake_read, setup, abi, missing))
    _lead(config, wake_write)


def _disk(config: GuestConfig, setup: GuestSetup) -> disk.Disk:
    """A watch over every place that commands can write to."""
    writable = [
        rule.path
        for rule in setup.rules
        if rule.access & landlock.WRITE and not rule.path.startswith((b"/dev/", b"/proc/"))
    ]
    roots = [config.workspace, b"/tmp", config.environment.get(b"HOME", b"/tmp"), *writable]
    restarted = bool(setup.since_ns)
    return disk.Disk(
        roots, setup.disk_bytes, config.since_ns, layered=config.layered, restarted=restarted
    )
