"""The proxy's configuration: which hosts a set-up may reach, as text for Squid 5 and later.

Only CONNECT, only to listed names and ports. A name is looked up once it is known to be listed, so
that looking up is no way out either. Pure: knows no engine.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from sandbox.errors import SandboxError

TLS_PORT = 443

_PRIVATE = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
    "::/127", "::ffff:0:0/96", "64:ff9b::/96", "2001::/32", "2002::/16", "fc00::/7", "fe80::/10",
    "ff00::/8",
)  # fmt: skip
"""Addresses that are not on the public internet (IANA's special-purpose registries)."""

_BASE = """\
http_port 127.0.0.1:3128
pid_filename none
coredump_dir /tmp
netdb_filename none
cache_log /tmp/cache.log
debug_options ALL,1
cache deny all
max_filedescriptors 2048
shutdown_lifetime 0 seconds
connect_timeout 20 seconds
dns_timeout 20 seconds
visible_hostname moonpool-proxy
via off
forwarded_for delete
positive_dns_ttl 10 minutes
negative_dns_ttl 1 minute
pinger_enable off
buffered_logs off
logformat answered %>Hs %rm %ru
access_log stdio:/tmp/answered logformat=answered
acl connecting method CONNECT
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedHosts:
    """What a set-up may reach."""

    names: tuple[str, ...]
    """From the policy: a name, or ``*.name`` for it and all below it; by TLS's own port. Never at
    an address that is not public."""
    registries: tuple[tuple[str, int], ...] = ()
    """Host and port, from the configuration of the operator's own clients, at any address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamProxy:
    """The operator's own way out."""

    host: str
    port: int
    login: str
    """``user:password``, each as in an address, or empty."""
    direct: tuple[str, ...]
    """Domain names that are reached without it."""


def upstream_of(environ: Mapping[str, str]) -> UpstreamProxy | None:
    """The proxy that the operator's environment names for TLS, or None.

    Raises:
        SandboxError: it is one that a container can't reach, or no HTTP proxy.
    """
    text = next(
        (environ[name] for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
         if environ.get(name)), "",
    )  # fmt: skip
    excepted = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not text or excepted.strip() == "*":
        return None
    parts = urlsplit(text if "//" in text else f"http://{text}")
    try:
        port = parts.port or 3128
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        raise SandboxError("set-up goes through no proxy but an http:// one: see HTTPS_PROXY")
    if parts.hostname == "localhost" or parts.hostname.startswith("127."):
        raise SandboxError(
            "HTTPS_PROXY names this machine's loopback, which no container reaches: name an "
            "address of this machine, or run set-up without it"
        )
    # Squid takes `%XX` for a character; spelled so, none of them means anything to it.
    words = (quote(unquote(part or ""), safe="") for part in (parts.username, parts.password))
    login = ":".join(words) if parts.username else ""
    if not _is_name(parts.hostname.replace(":", "a")):
        raise SandboxError("HTTPS_PROXY names no host that set-up's proxy can take")
    # As clients read it: a name and all below it.
    direct = (name.strip().lower().lstrip("*.").split(":")[0] for name in excepted.split(","))
    return UpstreamProxy(
        host=parts.hostname,
        port=port,
        login=login,
        direct=thinned(f"*.{name}" for name in direct if _is_name(name)),
    )


def thinned(names: Iterable[str]) -> tuple[str, ...]:
    """Names in Squid's form (``.name`` for it and all below it), none covered by another: Squid
    does not start with such a list."""
    wanted = {f".{name[2:]}" if name.startswith("*.") else name for name in names}
    return tuple(sorted(name for name in wanted if not _covered(name, wanted)))


def _covered(name: str, wanted: set[str]) -> bool:
    if not name.startswith(".") and f".{name}" in wanted:
        return True
    labels = name.lstrip(".").split(".")
    return any("." + ".".join(labels[at:]) in wanted for at in range(1, len(labels)))


def _is_name(text: str) -> bool:
    return bool(text) and all(part.replace("-", "a").isalnum() for part in text.split("."))


def configuration(allowed: AllowedHosts, upstream: UpstreamProxy | None) -> str:
    """The file that Squid starts with. What nothing allows is refused."""
    lines = [f"acl private dst {' '.join(_PRIVATE)}", "http_access deny !connecting"]
    ports: dict[int, set[str]] = {}
    for host, port in allowed.registries:
        ports.setdefault(port, set()).add(host)
    for port, hosts in sorted(ports.items()):
        lines += [
            f"acl port{port} port {port}",
            f"acl registries{port} dstdomain -n {' '.join(thinned(hosts))}",
            f"http_access allow registries{port} port{port}",
        ]
    if allowed.names:
        lines += [
            f"acl tls port {TLS_PORT}",
            f"acl named dstdomain -n {' '.join(thinned(allowed.names))}",
            "http_access deny !tls",
            "http_access deny !named",
            "http_access deny private",
            "http_access allow named",
        ]
    lines.append("http_access deny all")
    return _BASE + "\n".join(lines + _peer(upstream)) + "\n"


def _peer(upstream: UpstreamProxy | None) -> list[str]:
    if upstream is None:
        return ["always_direct allow all"]
    login = f" login={upstream.login}" if upstream.login else ""
    host = f"[{upstream.host}]" if ":" in upstream.host else upstream.host
    lines = [f"cache_peer {host} parent {upstream.port} 0 no-query no-digest default{login}"]
    if upstream.direct:
        lines += [
            f"acl direct dstdomain -n {' '.join(upstream.direct)}",
            "always_direct allow direct",
        ]
    return [*lines, "never_direct allow all"]
