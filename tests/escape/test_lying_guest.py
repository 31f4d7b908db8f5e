"""A guest that lies, end to end: the host raises what it promises, bounded, and writes nothing.

The container is real; between it and the host somebody else speaks.
"""

import contextlib
import itertools
import resource
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from fakes.guest import Script, Value, babbled, multiplexed, said
from sandbox.engine.docker import Engine
from sandbox.errors import FileError, SandboxError
from sandbox.guest import message, wire
from sandbox.guest.message import HostRequest
from sandbox.guest.protocol import FirstWords, Printed, SealFact
from sandbox.link import GuestLink
from sandbox.sandbox import Sandbox

PIECE = said(1, Printed(stream=1, data=b"x" * 60_000))


def numbered(*frames: list[Value]) -> Script:
    """The same frames for every request, each with the request's number put in."""

    def lie(_: HostRequest, number: int) -> Iterator[bytes]:
        for name, *fields in frames:
            yield babbled(name, number, *fields)

    return lie


def always(*pieces: bytes) -> Script:
    return lambda _, __: pieces


def flood(data: bytes) -> Script:
    return lambda _, __: itertools.repeat(data, 20_000)


NO_OUTPUT: list[Value] = [b"", 0, None, 0]
LIES: dict[str, Script] = {
    "end": always(),
    "junk": always(bytes(range(256)) * 100),
    "huge-frame": always(multiplexed(b"\xff\xff\xff\xff")),
    "huge-list": always(multiplexed(b"\0\0\0\x05L\xff\xff\xff\xff")),
    "huge-bytes": always(multiplexed(b"\0\0\0\x05B\xff\xff\xff\xff")),
    "deep": always(multiplexed(b"\0\x01\0\0" + b"L\0\0\0\x01" * 13107 + b"N")),
    "huge-payload": always(b"\x01\0\0\0\xff\xff\xff\xff" + b"\0" * 4096),
    "stderr-flood": flood(multiplexed(b"e" * 65536, stream=2)),
    "output-flood": flood(PIECE),
    "empty-answer": numbered([b"Done"]),
    "no-number": always(babbled(b"Done"), babbled()),
    "not-a-list": always(multiplexed(wire.frame(7))),
    "wrong-types": numbered([b"FilePiece", [], None]),
    "no-such-message": numbered([b"Own", b"x"]),
    "the-host-s-own": numbered([b"Freeze"]),
    "too-many": numbered([b"Done", 1]),
    "done-lies": numbered([b"CommandEnd", b"x", 3, [], [], b"/", 0, [], []]),
    "done-huge": numbered(
        [b"CommandEnd", 1 << 62, b"exited", [b"t" * 900_000, 1, None, 0], NO_OUTPUT, b"/", -5,
            [], []],
    ),
    "done-of-the-host": numbered(
        [b"CommandEnd", 0, b"host disk low", NO_OUTPUT, NO_OUTPUT, b"/", 0, [], []],
    ),
    "error-odd": numbered([b"RequestFailed", None, 5, []]),
    "path-outside": numbered(
        [b"TreeChanges", [[b"../../outside", 0o100644, 3], [b"/etc/cron.d/x", 0o100644, 3]], []],
        [b"Done"],
    ),
    "listing-outside": numbered(
        [b"TreeChanges", [],
            [[b"", [b"f../x", b"f/etc/x", b"f.git/hooks/a"]], [b"..", [b"fx"]]]],
        [b"FileHead", b"../x", 0o100644, 3], [b"FileData", b"abc"], [b"Done"],
    ),
}  # fmt: skip


class Peer:
    """Answers each request as a lie says, then ends the stream."""

    def __init__(self, lie: Script) -> None:
        ours, self._theirs = socket.socketpair()
        self.link = GuestLink(ours, answer_timeout_s=5.0, stream_timeout_s=5.0)
        self._lie = lie
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.link.close()
        self._thread.join()
        self._theirs.close()

    def _serve(self) -> None:
        requests = wire.FrameReader()
        try:
            while data := self._theirs.recv(1 << 16):
                for frame in requests.read(data):
                    number, request = message.read(frame, HostRequest)
                    for piece in self._lie(request, number):
                        self._theirs.sendall(piece)
                    self._theirs.shutdown(socket.SHUT_WR)
        except OSError:
            pass


@contextlib.contextmanager
def replaced(box: Sandbox, lie: Script) -> Iterator[None]:
    """Put a liar in the guest's place; the container stands, nobody listens to it any more."""
    session = box._session
    session.started.link.close()
    peer = Peer(lie)
    session.started = replace(session.started, link=peer.link)
    session._restarts = 99  # a guest that died too often: what it says is the last word
    try:
        yield
    finally:
        peer.close()


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_an_error_or_a_result_never_more(
    lie: str, open_box: OpenBox, workspace: Path, tmp_path: Path
) -> None:
    (workspace / "a").write_text("a\n")
    box = open_box()
    before = set(tmp_path.rglob("*"))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for ask in (
        lambda: box.run("true", timeout_s=1),
        lambda: box.read_file("a"),
        lambda: box.write_file("b", b"x"),
        box.list_dir,
        lambda: box.start("true"),
        lambda: box.poll(1),
    ):
        with replaced(box, LIES[lie]), contextlib.suppress(SandboxError, FileError):
            ask()
    with replaced(box, LIES[lie]):
        # The engine reads what the guest can't say, so there is a patch all the same.
        assert box.export().changes == ()
    assert set(tmp_path.rglob("*")) == before
    assert (workspace / "a").read_text() == "a\n"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    assert grown < 256 << 10, f"{grown} KiB"


def first_words(*facts: tuple[bytes, bytes], probed: int = 13) -> bytes:
    words = FirstWords(
        abi=6,
        missing=[],
        facts=[SealFact(key=key, value=value) for key, value in facts],
        probe_read=probed,
        probe_executed=probed,
        since_ns=0,
    )
    return message.frame(0, words)


HELLOS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "the guest ended"),
    "junk": (b"\xff" * 5000, "is no frame"),
    "no-frame": (wire.frame(None), "a frame that is no message"),
    "other-words": (wire.frame([b"Done", 1]), "answered GuestSetup with Done"),
    "no-words": (wire.frame([b"hello", 1]), "there is no message b'hello'"),
    "too-few": (wire.frame([b"FirstWords", 0]), "FirstWords.abi is missing"),
    "no-facts": (first_words(), "CapEff: is missing"),
    "wrong-facts": (first_words(
        (b"CapEff", b"000001ffffffffff"), (b"NoNewPrivs", b"0"), (b"uid", b"0"), probed=0),
        "CapEff: is 000001ffffffffff, not 0"),
    "odd-facts": (wire.frame([b"FirstWords", 0, 6, [], [[1, 2]], None, None, 5]),
        r"FirstWords\.facts: SealFact\.key: is not of type bytes"),
}  # fmt: skip
"""What it says first, and why the sandbox does not open: each lie is seen for what it is."""


@pytest.mark.parametrize("hello", HELLOS)
def test_an_image_whose_python_lies_does_not_open(
    hello: str,
    engine: Engine,
    open_box: OpenBox,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stands in for an image with another program as python3: same stream, other words."""
    (workspace / "a").write_text("a\n")
    open_box().close()
    said, why = HELLOS[hello]
    threads = []

    def attach(self: Engine, _container: str) -> socket.socket:
        ours, theirs = socket.socketpair()

        def speak() -> None:
            with theirs, contextlib.suppress(OSError):
                theirs.recv(1 << 16)
                theirs.sendall(multiplexed(said))
                theirs.shutdown(socket.SHUT_WR)
                while theirs.recv(1 << 16):
                    pass

        threads.append(threading.Thread(target=speak, daemon=True))
        threads[-1].start()
        return ours

    created: list[str] = []
    create = Engine.create

    def noted(self: Engine, body: Mapping[str, object]) -> str:
        created.append(create(self, body))
        return created[-1]

    monkeypatch.setattr(Engine, "attach", attach)
    monkeypatch.setattr(Engine, "create", noted)
    with pytest.raises(SandboxError, match=why):
        open_box()
    for thread in threads:
        thread.join()
    assert created
    assert not set(created) & {row.id for row in engine.containers("moonpool.managed")}
