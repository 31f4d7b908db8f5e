"""The proxy with its real configuration against real listeners: what is not listed is refused and
reported, though it stands there to be reached."""

import io
import json
import tarfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from images.build import ensure
from images.recipes import PROXY
from images.setup.squid import AllowedHosts, configuration, upstream_of
from sandbox.container.own_files import package
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE, LABEL_MANAGED

PUBLIC, PRIVATE = "203.0.113.7", "10.1.2.3"
NAMES = (
    "public.example", "*.wild.example", "private.example", "local.example", "loop.example",
    "mixed.example", "rebound.example", "mapped.example", "six.example", "nowhere.example",
)  # fmt: skip
ADDRESSES: Mapping[str, list[list[str]]] = {
    "public.example": [[PUBLIC]],
    "wild.example": [[PUBLIC]],
    "sub.wild.example": [[PUBLIC]],
    "other.example": [[PUBLIC]],
    "public.example.other.example": [[PUBLIC]],
    "private.example": [[PRIVATE]],
    "local.example": [["169.254.169.254"]],
    "loop.example": [["127.0.0.1"]],
    "mixed.example": [[PUBLIC, "192.168.7.7"]],
    "rebound.example": [[PUBLIC], [PRIVATE]],
    "mapped.example": [["::ffff:10.1.2.3"]],
    "six.example": [["::1"]],
    "registry.example": [[PRIVATE]],
    "down.example": [[PRIVATE]],
}


def connect(target: str, *headers: str, then: str = "") -> str:
    return "\r\n".join([f"CONNECT {target} HTTP/1.1", f"Host: {target}", *headers, "", then])


def get(address: str, method: str = "GET", host: str = "public.example") -> str:
    return f"{method} {address} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"


REACHED = {
    "a listed name": (connect("public.example:443"), PUBLIC + ":443"),
    "in capitals": (connect("PUBLIC.EXAMPLE:443"), PUBLIC + ":443"),
    "below a star": (connect("sub.wild.example:443"), PUBLIC + ":443"),
    "the star's own": (connect("wild.example:443"), PUBLIC + ":443"),
    "a registry at its port and a private address": (
        connect("registry.example:8443"), PRIVATE + ":8443",
    ),
    "a name that was rebound meanwhile": (connect("rebound.example:443"), PUBLIC + ":443"),
    "a name that was rebound, again": (connect("rebound.example:443"), PUBLIC + ":443"),
}  # fmt: skip

UNANSWERED = {
    "a name that nobody has": connect("nowhere.example:443"),
    "a registry that is down": connect("down.example:9999"),
}

REFUSED = {
    "another host": connect("other.example:443"),
    "a longer name": connect("public.example.other.example:443"),
    "a name with more before it": connect("notpublic.example:443"),
    "a name above": connect("example:443"),
    "another host by its header": connect("other.example:443", "Host: public.example"),
    "port 8443": connect("public.example:8443"),
    "port 80": connect("public.example:80"),
    "port 25": connect("public.example:25"),
    "a registry's other port": connect("registry.example:443"),
    "the private name": connect("private.example:443"),
    "the link-local name": connect("local.example:443"),
    "the loopback name": connect("loop.example:443"),
    "a name with a private address too": connect("mixed.example:443"),
    "a public address": connect(f"{PUBLIC}:443"),
    "a private address": connect(f"{PRIVATE}:443"),
    "metadata": connect("169.254.169.254:80"),
    "loopback": connect("127.0.0.1:443"),
    "the proxy itself": connect("127.0.0.1:3128"),
    "all addresses": connect("0.0.0.0:443"),
    "a decimal address": connect("2130706433:443"),
    "a hexadecimal address": connect("0x7f000001:443"),
    "an octal address": connect("0177.0.0.1:443"),
    "a short address": connect("127.1:443"),
    "a newer address": connect("[::1]:443"),
    "a mapped literal": connect("[::ffff:127.0.0.1]:443"),
    "a mapped literal in hexadecimal": connect("[::ffff:7f00:1]:443"),
    "plain HTTP": get("http://public.example/"),
    "plain HTTP at the port of TLS": get("http://public.example:443/"),
    "plain HTTP to a registry": get("http://registry.example:8443/"),
    "HTTPS without a tunnel": get("https://public.example/"),
    "a post": get("http://public.example/", "POST"),
    "ftp": get("ftp://public.example/"),
    "metadata by HTTP": get("http://169.254.169.254/latest/meta-data/"),
    "the proxy's own pages": get("http://127.0.0.1:3128/squid-internal-mgr/info"),
}
"""Answered by 403, and reported."""

SPELLED = dict.fromkeys(
    ("a decimal address", "a hexadecimal address", "an octal address", "a short address",
     "a mapped literal", "a mapped literal in hexadecimal"), "127.0.0.1:443",
)  # fmt: skip
"""What they are reported as."""

NEWER = {
    "a mapped address": connect("mapped.example:443"),
    "the newer loopback": connect("six.example:443"),
}
"""Refused where there are such addresses, and elsewhere never tried."""

MALFORMED = {
    "no address": get("/"),
    "a user in front": connect("public.example@other.example:443"),
    "a user behind": connect("public.example:443@other.example:443"),
    "an end in the middle": connect("public.example\0.other.example:443"),
    "an escape": connect("public.example%00.other.example:443"),
    "a line in the middle": connect("public.example:443\r\nX: other.example"),
    "no port": connect("public.example"),
    "the newest protocol": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "all options": get("*", "OPTIONS"),
    "the cache's pages": get("cache_object://127.0.0.1/info"),
    "no request": "\0\1\2\3\r\n\r\n",
    "a very long name": connect("a" * 70_000 + ".example:443"),
}
"""Answered by anything but a connection to what is not listed."""

RELAYED = {
    "a tunnel in a tunnel": connect("public.example:443", then=connect("other.example:443")),
    "a second request behind one that is refused": get("http://public.example/")
    + connect("other.example:443"),
}


@dataclass(frozen=True, kw_only=True)
class Staged:
    answers: dict[str, str]
    asked: set[str]
    upstream: list[str]
    refused: set[str]
    unanswered: set[str]
    code: int | None


def _staged(
    engine: Engine, squid: str, requests: Mapping[str, str], lifetime_s: float = 3600
) -> Staged:
    image = ensure(engine, PROXY, on_progress=lambda _: None)
    said = {"requests": requests, "addresses": ADDRESSES, "lifetime_s": lifetime_s}
    container = engine.create(
        {
            "Image": image,
            "Cmd": ["/usr/bin/python3", "-I", "/stage.py"],
            "User": "0",
            "Labels": {LABEL_MANAGED: "1", LABEL_DEADLINE: str(int(time.time()) + 600)},
            "HostConfig": {
                "NetworkMode": "none",
                "Dns": ["127.0.0.1"],
                "CapAdd": ["NET_ADMIN"],
                "Ulimits": [{"Name": "nofile", "Soft": 4096, "Hard": 4096}],
            },
        }
    )
    try:
        stage = (Path(__file__).parent / "stage.py").read_bytes()
        files = {"stage.py": stage, "stage.json": json.dumps(said).encode(),
                 "squid.conf": squid.encode()}  # fmt: skip
        engine.put_archive(container, "/", [package(files)])
        engine.start(container)
        assert engine.wait(container, timeout_s=240) == 0
        told = _answer(engine, container)
    finally:
        engine.remove(container)
    return Staged(
        answers=told["answers"], asked=set(told["asked"]), upstream=told["upstream"],
        refused=set(told["refused"].splitlines()),
        unanswered=set(told["unanswered"].splitlines()), code=told["code"],
    )  # fmt: skip


def _answer(engine: Engine, container: str) -> Any:
    data = b"".join(engine.get_archive(container, "/answer.json"))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        file = tar.extractfile("answer.json")
        assert file is not None
        return json.load(file)


@pytest.fixture(scope="module")
def staged(engine: Engine) -> Staged:
    registries = (("registry.example", 8443), ("down.example", 9999))
    squid = configuration(AllowedHosts(names=NAMES, registries=registries), None)
    reached = {name: request for name, (request, _) in REACHED.items()}
    return _staged(
        engine, squid, {**reached, **UNANSWERED, **REFUSED, **NEWER, **MALFORMED, **RELAYED}
    )


@pytest.mark.parametrize("name", REACHED)
def test_what_is_listed_is_reached(staged: Staged, name: str) -> None:
    assert staged.answers[name].startswith("HTTP/1.1 200 ")
    assert f"I am {REACHED[name][1]}\n" in staged.answers[name]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_is_refused(staged: Staged, name: str) -> None:
    assert staged.answers[name].startswith("HTTP/1.1 403 ")
    assert "I am " not in staged.answers[name]


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_reported(staged: Staged, name: str) -> None:
    method, target, _ = REFUSED[name].split(" ", 2)
    target = SPELLED.get(name, target)
    assert any(
        row.startswith(f"{method} ") and row.split(" ")[1].rstrip("/") == target.rstrip("/")
        for row in staged.refused
    )


def test_what_may_be_reached_and_does_not_answer_is_reported_apart(staged: Staged) -> None:
    assert {"CONNECT nowhere.example:443", "CONNECT down.example:9999"} <= staged.unanswered
    assert not {row for row in staged.unanswered if row in staged.refused}


@pytest.mark.parametrize("name", NEWER)
def test_a_name_with_an_address_of_the_newer_form_is_no_way_in(staged: Staged, name: str) -> None:
    assert not staged.answers[name].startswith("HTTP/1.1 200 ")
    assert "I am " not in staged.answers[name]


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_request_reaches_nobody_else(staged: Staged, name: str) -> None:
    said = staged.answers[name]
    assert "I am " not in said or f"I am {PUBLIC}:443\n" in said
    assert "other.example" not in staged.asked


def test_a_tunnel_hands_on_bytes_and_understands_none(staged: Staged) -> None:
    said = staged.answers["a tunnel in a tunnel"]
    assert f"I am {PUBLIC}:443\n" in said
    assert "heard CONNECT other.example:443" in said


def test_nothing_behind_a_refused_request_is_let_through(staged: Staged) -> None:
    assert "I am " not in staged.answers["a second request behind one that is refused"]


def test_no_name_is_looked_up_that_is_not_listed(staged: Staged) -> None:
    """A look-up is a way out: `SECRET.evil.example`."""
    listed = {*(name for name in ADDRESSES if "other" not in name), "nowhere.example"}
    assert staged.asked <= listed
    assert "public.example" in staged.asked


def test_through_the_operators_own_proxy_with_its_login(engine: Engine) -> None:
    environ = {
        "https_proxy": "http://us%20er:p%40ss%25@203.0.113.9:3128",
        "no_proxy": "wild.example",
    }
    squid = configuration(AllowedHosts(names=NAMES), upstream_of(environ))
    requests = {
        "up": connect("public.example:443"),
        "unknown here": connect("nowhere.example:443"),
        "direct": connect("sub.wild.example:443"),
        "refused": connect("other.example:443"),
        "private": connect("private.example:443"),
    }
    staged = _staged(engine, squid, requests)
    assert "I am the upstream" in staged.answers["up"]
    assert "I am the upstream" in staged.answers["unknown here"]
    assert f"I am {PUBLIC}:443\n" in staged.answers["direct"]
    assert staged.answers["refused"].startswith("HTTP/1.1 403 ")
    assert staged.answers["private"].startswith("HTTP/1.1 403 ")
    login = "dXMgZXI6cEBzcyU="
    assert [row.split(" | ")[0] for row in staged.upstream] == [
        "CONNECT public.example:443 HTTP/1.1",
        "CONNECT nowhere.example:443 HTTP/1.1",
    ]
    assert all(login in row for row in staged.upstream)


def test_it_ends_by_itself_at_its_deadline(engine: Engine) -> None:
    squid = configuration(AllowedHosts(names=NAMES), None)
    assert _staged(engine, squid, {}, lifetime_s=0.5).code == 0
