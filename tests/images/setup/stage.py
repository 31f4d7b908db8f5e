"""Main process of a container without network in which the proxy meets everything it may reach.

Loopback has public, private and link-local addresses here, each with listeners that say who they
are, a name server that notes what it is asked, and an upstream proxy that wants a login. So what is
refused would have been reached. Reads /stage.json: ``requests`` (latin-1 text, by name),
``addresses`` (by host name), ``lifetime_s``; writes /answer.json.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import socket
import struct
from pathlib import Path

ADDRESSES = ("203.0.113.7", "203.0.113.9", "10.1.2.3", "169.254.169.254", "192.168.7.7")
PORTS = (25, 80, 443, 8443)
_SET_ADDRESS = 0x8916
_PROXY_USER = 13
_ANSWER_S = 30.0
_MORE_S = 1.0


def add_addresses() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for number, address in enumerate(ADDRESSES):
            name = f"lo:{number}".encode()
            row = struct.pack("16sHH4s8x", name, socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(any_socket, _SET_ADDRESS, row)


class NameServer(asyncio.DatagramProtocol):
    """Answers from a table; a name with several rows gets the next one each time."""

    def __init__(self, addresses: dict[str, list[list[str]]]) -> None:
        self._rows = addresses
        self.asked: dict[str, None] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        labels, at = [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode("latin-1"))
            at += 1 + data[at]
        question, kind = data[12 : at + 5], int.from_bytes(data[at + 1 : at + 3], "big")
        name = ".".join(labels).lower()
        self.asked[name] = None
        rows = self._rows.get(name, [])
        row = rows[0] if rows else []
        if kind == 1 and len(rows) > 1:
            rows.pop(0)
        answers = b""
        for address in row:
            version = socket.AF_INET6 if ":" in address else socket.AF_INET
            packed = socket.inet_pton(version, address)
            if kind == (28 if ":" in address else 1):
                answers += b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(packed)) + packed
        count = answers.count(b"\xc0\x0c")
        code = 0x8180 if name in self._rows else 0x8183
        head = data[:2] + struct.pack(">HHHHH", code, 1, count, 0, 0)
        self._transport.sendto(head + question + answers, addr)  # type: ignore[attr-defined]


async def say_who(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    host, port = writer.get_extra_info("sockname")[:2]
    writer.write(f"I am {host}:{port}\n".encode())
    with contextlib.suppress(OSError):
        await writer.drain()
        heard = await reader.read(1000)
        writer.write(b"heard " + heard.split(b"\r")[0] + b"\n")
        await writer.drain()
    writer.close()


class Upstream:
    """A proxy that lets through whom it knows."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        login = [line for line in lines if line.lower().startswith("proxy-authorization")]
        self.heard.append(" | ".join([lines[0], *login]))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nI am the upstream\n")
        await writer.drain()
        writer.close()


def _patience_s(answer: bytes) -> float:
    """A connection that is refused may stay open for more requests; whoever is reached speaks."""
    refused = b"\r\n\r\n" in answer and not answer.startswith(b"HTTP/1.1 200 ")
    return _MORE_S if refused else _ANSWER_S


async def ask(request: str) -> str:
    """What comes back for a request, once all of it was said, or no more comes."""
    reader, writer = await asyncio.open_unix_connection("/egress/proxy.sock")
    writer.write(request.encode("latin-1"))
    answer = b""
    with contextlib.suppress(TimeoutError, OSError):
        while data := await asyncio.wait_for(reader.read(4096), _patience_s(answer)):
            answer += data
            if b"I am " in answer:
                if b"CONNECT" not in request.encode()[8:]:
                    break
                if b"heard" in answer:
                    break
                writer.write(request.partition("\r\n\r\n")[2].encode() or b"x")
    writer.close()
    return answer.decode("latin-1")[:3000]


def listed(name: str) -> str:
    path = Path("/egress") / name
    return path.read_text("utf-8") if path.exists() else ""


async def main() -> None:
    said = json.loads(Path("/stage.json").read_text("utf-8"))
    add_addresses()
    names = NameServer(said["addresses"])
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: names, local_addr=("127.0.0.1", 53))
    for port in PORTS:
        await asyncio.start_server(say_who, "0.0.0.0", port)
    upstream = Upstream()
    await asyncio.start_server(upstream, "203.0.113.9", 3128)
    program = "/usr/local/lib/moonpool/egress.py"
    proxy = await asyncio.create_subprocess_exec(
        "/usr/bin/python3", "-I", program, "/squid.conf", str(said["lifetime_s"]),
        user=_PROXY_USER, group=_PROXY_USER,
    )  # fmt: skip
    while not os.path.exists("/egress/proxy.sock") and proxy.returncode is None:
        await asyncio.sleep(0.02)
    asked = {name: asyncio.ensure_future(ask(said)) for name, said in said["requests"].items()}
    answers = {name: await answer for name, answer in asked.items()}
    code = await proxy.wait() if not answers else None
    told = {
        "answers": answers,
        "asked": list(names.asked),
        "upstream": upstream.heard,
        "refused": listed("refused"),
        "unanswered": listed("unanswered"),
        "code": code,
    }
    Path("/answer.json").write_text(json.dumps(told), "utf-8")
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
