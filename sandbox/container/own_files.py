"""Places and small files that every sandbox has, whatever its image holds, as plain tars.

Owns their content; knows no engine.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath

from sandbox.cache import keep
from sandbox.container.mounts import HELD, HOSTS, KINDS, PLACES
from sandbox.container.spec import HOSTNAME
from sandbox.engine import tar

_HOSTS = f"127.0.0.1\tlocalhost\n127.0.0.1\t{HOSTNAME}\n"
"""The container's loopback has no IPv6 address: one named here could be looked up and not bound."""

_WITHOUT = {
    "/etc/protocols": "ip 0 IP\nicmp 1 ICMP\nigmp 2 IGMP\ntcp 6 TCP\nudp 17 UDP\nipv6 41 IPv6\n"
    "gre 47 GRE\nesp 50 ESP\nah 51 AH\nipv6-icmp 58 IPv6-ICMP\nsctp 132 SCTP\n",
    "/etc/services": "".join(
        f"{name}\t{port}/{kind}\n"
        for name, port, kinds in (
            ("echo", 7, "tcp udp"), ("discard", 9, "tcp udp"), ("daytime", 13, "tcp udp"),
            ("ftp-data", 20, "tcp"), ("ftp", 21, "tcp"), ("ssh", 22, "tcp"), ("telnet", 23, "tcp"),
            ("smtp", 25, "tcp"), ("time", 37, "tcp udp"), ("domain", 53, "tcp udp"),
            ("tftp", 69, "udp"), ("http", 80, "tcp"), ("pop3", 110, "tcp"), ("ntp", 123, "udp"),
            ("imap2", 143, "tcp"), ("snmp", 161, "tcp udp"), ("ldap", 389, "tcp udp"),
            ("https", 443, "tcp udp"), ("submission", 587, "tcp"), ("ldaps", 636, "tcp"),
            ("imaps", 993, "tcp"), ("pop3s", 995, "tcp"), ("mysql", 3306, "tcp"),
            ("postgresql", 5432, "tcp"), ("redis", 6379, "tcp"), ("http-alt", 8080, "tcp udp"),
        )
        for kind in kinds.split()
    ),
}  # fmt: skip
"""For images without Debian's netbase: what tests ask by name."""

OPTIONAL = tuple(_WITHOUT)
"""Paths of those files that an image may hold itself; its own are the better ones."""


GUEST_DIRECTORY = "opt/moonpool"
"""Below it the guest is imported; relative to the root."""
BROUGHT = f"/{GUEST_DIRECTORY}/rt"
"""Where the runtime stands that is brought into an image which is not ours."""
BROUGHT_PROGRAMS = f"{BROUGHT}/bin"
"""For what the image does not hold: the last directory where commands look for programs."""
OWN_PYTHON = "python3"
"""What starts the guest in an image that is ours: found by the engine, on a PATH of ours."""
ISOLATED = ("-I", "-S", "-c")
"""For Python: it must not import from where it stands, nor by what an environment says."""


def package(files: Mapping[str, bytes]) -> bytes:
    """A plain tar of root's files, readable by all, with the directories above them; paths relative
    to the root."""
    parents = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
    members = [tar.directory(name) for name in sorted(parents)]
    members += [tar.file(name, data) for name, data in files.items()]
    return b"".join((*members, tar.END))


def hosts_file(cache_directory: Path) -> Path:
    """Where on this machine the file is that stands at /etc/hosts in every container, read-only."""
    return cache_directory / "hosts" / hashlib.sha256(_HOSTS.encode()).hexdigest()[:16]


def keep_hosts_file(cache_directory: Path) -> None:
    """Have that file be there.

    An engine empties an image's /etc/hosts in every container, and fills it by way of a network,
    which a sandbox has none of: making one that leads nowhere costs a third of an opening.

    Raises:
        SandboxError: the cache can't be written.
    """
    data, path = _HOSTS.encode(), hosts_file(cache_directory)
    with suppress(OSError):
        if path.read_bytes() == data:
            return
    keep(path, data)
    path.chmod(0o644)  # the container's user is another


def of_container() -> bytes:
    """The same as a plain tar, for an engine that does not see this machine's files: it is put into
    each container before its first start."""
    return tar.file(HOSTS, _HOSTS.encode()) + tar.END


def of_image(lacking: tuple[str, ...]) -> bytes:
    """A plain tar for the prepared image.

    Args:
        lacking: those of `OPTIONAL` that the image does not hold.
    """
    return b"".join(
        (*_places(), *(tar.file(path, _WITHOUT[path].encode()) for path in lacking), tar.END)
    )


def _places() -> Iterator[bytes]:
    # Volumes take their owner and mode from there, and a sandbox has none to make.
    yield tar.directory(HELD, mode=0o700)
    for name in PLACES:
        for kind in KINDS:
            yield tar.directory(f"{HELD}/{name}{kind}", uid=1000)
    # One place for scratch files, so that one limit, one kernel rule and one mount hold them all.
    yield tar.directory("/tmp", mode=0o1777)  # noqa: S108 - the container's
    yield tar.link("/var/tmp", "/tmp")  # noqa: S108 - the container's
