"""The host's end of a guest's stream, with a guest that lies, floods, babbles or says nothing."""

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.guest import STDERR, STDOUT, babbled, guest, link_to, multiplexed, said
from sandbox.errors import (
    FileDenied,
    FileError,
    FileExists,
    FileMissing,
    FileWrongType,
    SandboxLost,
)
from sandbox.guest import wire
from sandbox.guest.message import (
    GuestAnswer,
    HostRequest,
    ProtocolError,
    RequestReader,
)
from sandbox.guest.protocol import (
    Done,
    FilePiece,
    Freeze,
    Frozen,
    ListDirectory,
    Printed,
    ReadPiece,
    RequestFailed,
    StartProcess,
    TreeChanges,
    WalkTree,
)
from sandbox.link import GuestLink, file_error
from waiting import WAIT_S, until


def soon() -> float:
    return time.monotonic() + WAIT_S


def shown(number: int, answer: GuestAnswer) -> tuple[object, ...]:
    return type(answer).__name__, number, *answer


def received(link: GuestLink, count: int) -> list[tuple[object, ...]]:
    end = soon()
    return [shown(*link.receive(until=end)) for _ in range(count)]


def printed(data: bytes) -> Printed:
    return Printed(stream=1, data=data)


READ = ReadPiece(path=b"a", offset=0, limit=1)


STREAM = (
    said(1, printed(b"abc"))
    + multiplexed(b"a warning", STDERR)
    + multiplexed(b"")
    + said(2, RequestFailed(errno=5, reason=b"x", refused=[b"/a"]))
)


ARRIVED = [("Printed", 1, 1, b"abc"), ("RequestFailed", 2, 5, b"x", [b"/a"])]


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_a_header_split_at_any_byte_changes_nothing(cut: int) -> None:
    with link_to() as link:
        for piece in (STREAM[:cut], STREAM[cut:]):
            link._take(memoryview(piece))
        assert received(link, 2) == ARRIVED


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30))
def test_pieces_of_any_size_change_nothing(sizes: list[int]) -> None:
    with link_to() as link:
        rest, turn = STREAM, itertools.cycle(sizes)
        while rest:
            size = next(turn)
            link._take(memoryview(rest[:size]))
            rest = rest[size:]
        assert received(link, 2) == ARRIVED


def test_a_frame_may_be_spread_over_many_engine_messages() -> None:
    data = bytes(range(256))
    frame = said(7, printed(data))[8:]
    with link_to(*(multiplexed(frame[at : at + 1]) for at in range(len(frame)))) as link:
        assert received(link, 1) == [("Printed", 7, 1, data)]


def test_large_output_arrives_whole() -> None:
    data = bytes(range(256)) * 1000
    with link_to(*[said(number, printed(data)) for number in range(20)]) as link:
        assert received(link, 20) == [("Printed", number, 1, data) for number in range(20)]


@pytest.mark.parametrize(
    "garbage",
    [
        multiplexed(b"\xff\xff\xff\xff"),
        multiplexed(b"\0\0\0\1X"),
        multiplexed(b"\0\0\0\0"),
        multiplexed(wire.frame(None)),
        multiplexed(wire.frame(7)),
        multiplexed(wire.frame([])),
        multiplexed(wire.frame(b"text")),
        babbled(b"Done"),
        babbled(b"Done", b"1"),
        babbled(b"Done", None),
        babbled(None, 1),
        babbled(b"Nothing", 1),
        babbled(b"Freeze", 1),
        babbled(b"HostRequest", 1),
        babbled(b"ChangedFile", 1, b"a", 1, 1),
        multiplexed(b"\0\0\0\x28" + b"L\0\0\0\1" * 8),
        multiplexed(b"Traceback (most recent call last):\n"),
    ],
)
def test_what_is_no_answer_loses_the_guest(garbage: bytes) -> None:
    with link_to(garbage) as link, pytest.raises(SandboxLost):
        received(link, 1)


@given(st.binary(min_size=1, max_size=400))
def test_a_stream_of_random_bytes_is_frames_or_a_lost_guest(data: bytes) -> None:
    with link_to(data, ends=True) as link, pytest.raises(SandboxLost):
        received(link, len(data))


@given(st.binary(min_size=1, max_size=400))
def test_random_bytes_from_the_guest_are_frames_or_a_lost_guest(data: bytes) -> None:
    with link_to(multiplexed(data), ends=True) as link, pytest.raises(SandboxLost):
        received(link, len(data))


def test_a_guest_once_lost_stays_lost() -> None:
    with link_to(multiplexed(b"\xff\xff\xff\xff"), said(1, Done())) as link:
        with pytest.raises(SandboxLost):
            received(link, 1)
        with pytest.raises(SandboxLost):
            link.ask(READ, FilePiece)
        with pytest.raises(SandboxLost):
            link.send(Freeze())


def test_an_early_end_says_what_the_guest_wrote_on_its_way_out() -> None:
    last = multiplexed(b"guest: MemoryError: \n", STDERR)
    with link_to(last, ends=True) as link, pytest.raises(SandboxLost, match="MemoryError"):
        link.ask(Freeze(), Frozen)


@pytest.mark.parametrize("size", [0, 3, 7, 9])
def test_an_end_in_the_middle_of_anything_loses_the_guest(size: int) -> None:
    with link_to(said(1, Done())[:size], ends=True) as link, pytest.raises(SandboxLost):
        link.ask(Freeze(), Frozen)


def test_silence_loses_the_guest_after_the_bound() -> None:
    with link_to(answer_timeout_s=0.01) as link, pytest.raises(SandboxLost, match="answer"):
        link.ask(Freeze(), Frozen)


def test_answers_to_other_requests_are_no_answer() -> None:
    wrong = [said(number, Frozen(ended=0)) for number in (7, 0, -1, 2)]
    with link_to(*wrong, answer_timeout_s=0.05) as link, pytest.raises(SandboxLost):
        link.ask(Freeze(), Frozen)


def test_an_answer_behind_others_is_found() -> None:
    others = (said(9, printed(b"x")), said(8, Done()))
    with link_to(*others, said(1, Frozen(ended=3))) as link:
        assert link.ask(Freeze(), Frozen).ended == 3


@pytest.mark.parametrize("answer", [Done(), printed(b"x"), FilePiece(data=b"", size=0)])
def test_an_answer_to_another_kind_of_request_loses_the_guest(answer: GuestAnswer) -> None:
    with link_to(said(1, answer)) as link:
        with pytest.raises(SandboxLost, match=f"answered Freeze with {type(answer).__name__}"):
            link.ask(Freeze(), Frozen)
        assert link.lost is not None


def test_a_flood_of_wrong_answers_ends_at_the_bound() -> None:
    def flood(_: HostRequest, __: int) -> Iterator[bytes]:
        return itertools.repeat(said(999, Done()) * 100)

    with guest(flood, answer_timeout_s=0.1) as link, pytest.raises(SandboxLost):
        link.ask(Freeze(), Frozen)


@pytest.mark.parametrize("noise", [said(999, Done()) * 100, multiplexed(b"x" * 5000, STDERR)])
def test_a_flood_does_not_keep_whoever_waits_from_its_turn(noise: bytes) -> None:
    """A command's turn is where it is cancelled: the operator must not have to wait for its end."""

    class Cancelled(Exception):
        pass

    def cancel() -> None:
        raise Cancelled

    with guest(lambda _, __: itertools.repeat(noise)) as link:
        number = link.request()
        link.send(READ, number=number)
        with pytest.raises(Cancelled):
            link.answer_to(number, until=soon(), on_tick=cancel)


def test_a_flood_on_standard_error_ends_at_the_bound_and_is_not_kept() -> None:
    def flood(_: HostRequest, __: int) -> Iterator[bytes]:
        return itertools.repeat(multiplexed(b"x" * 50_000, STDERR))

    with guest(flood, answer_timeout_s=0.1) as link:
        with pytest.raises(SandboxLost):
            link.ask(Freeze(), Frozen)
        assert len(link._stderr) <= 4096


def test_pieces_without_end_end_at_the_bound_of_the_whole_answer() -> None:
    def drip(_: HostRequest, number: int) -> Iterator[bytes]:
        return itertools.repeat(said(number, TreeChanges(files=[], folders=[])))

    with guest(drip) as link:
        link._stream_timeout_s = 0.1
        with pytest.raises(SandboxLost):
            for _ in link.stream(WalkTree(start=b"", everything=False), TreeChanges):
                pass


def test_a_header_that_announces_gigabytes_keeps_nothing() -> None:
    header = bytes([STDOUT, 0, 0, 0]) + b"\xff\xff\xff\xff"
    with link_to(header, b"\0\x0f\xff\xff", b"x" * 1000, ends=True) as link:
        with pytest.raises(SandboxLost):
            received(link, 1)
        assert len(link._frames._buffer) < 2000


@pytest.mark.parametrize(
    "wanted",
    [
        ReadPiece(path=b"a", offset=1 << 70, limit=1),
        StartProcess(script=b"x" * (wire.MESSAGE_LIMIT + 1)),
        ListDirectory(path=b"word" * (wire.MESSAGE_LIMIT // 4), limit=1),
    ],
)
def test_a_request_that_is_too_long_is_refused_and_the_guest_is_not_lost(
    wanted: HostRequest,
) -> None:
    with link_to(said(2, Frozen(ended=0))) as link:
        with pytest.raises(FileError):
            link.ask(wanted, FilePiece)
        assert link.ask(Freeze(), Frozen).ended == 0


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (2, FileMissing),
        (20, FileWrongType),
        (17, FileExists),
        (13, FileDenied),
        (1, FileDenied),
        (30, FileDenied),
        (21, FileWrongType),
        (28, FileError),
        (-5, FileError),
    ],
)
def test_a_refusal_of_the_kernel_becomes_its_error(number: int, kind: type[FileError]) -> None:
    failed = RequestFailed(errno=number, reason=b"no", refused=[])
    with link_to(said(1, failed)) as link, pytest.raises(FileError) as caught:
        link.ask(READ, FilePiece)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "refused",
    [[b"perl"], [b""], [b"/a\0b"], [b"/" + b"x" * 5000], [b"/a"] * 33, [b"/a", b"b"]],
)
def test_refused_programs_that_make_no_sense_are_not_told(refused: list[bytes]) -> None:
    error = file_error(RequestFailed(errno=13, reason=b"\xff" * 9, refused=refused))
    assert isinstance(error, FileDenied)
    assert error.refused == ()


def test_a_long_reason_is_cut() -> None:
    assert len(str(file_error(RequestFailed(errno=2, reason=b"x" * 100_000, refused=[])))) <= 200


def test_a_request_that_no_frame_takes_arrives_in_pieces() -> None:
    scripts: list[bytes] = []

    def record(request: HostRequest, number: int) -> Iterator[bytes]:
        assert isinstance(request, StartProcess)
        scripts.append(request.script)
        yield said(number, Done())

    sizes = [0, wire.FRAME_LIMIT - 40, wire.FRAME_LIMIT, 5 * wire.FRAME_LIMIT + 1]
    sent = [bytes(range(256)) * (size // 256) + b"x" * (size % 256) for size in sizes]
    with guest(record) as link:
        for script in sent:
            link.ask(StartProcess(script=script), Done)
    assert scripts == sent


def test_pieces_that_are_too_many_or_make_no_request_are_refused() -> None:
    reader = RequestReader()
    part: list[wire.Value] = [b"RequestPart", 1, b"x" * wire.PIECE, 0]
    for _ in range(wire.MESSAGE_LIMIT // wire.PIECE):
        assert reader.read(part) is None
    with pytest.raises(ProtocolError, match="too long"):
        reader.read(part)
    with pytest.raises(wire.WireError):
        RequestReader().read([b"RequestPart", 1, b"X", 1])


def test_threads_that_ask_at_once_get_each_their_own_answer() -> None:
    """The guest answers a number of requests only when it has seen them all, the last one first."""
    waiting: list[int] = []

    def collect(_: HostRequest, number: int) -> Iterator[bytes]:
        waiting.append(number)
        if len(waiting) == 8:
            for at in reversed(waiting):
                yield said(at, FilePiece(data=b"%d" % at, size=0))

    def ask(_: int) -> bool:
        number = link.request()
        link.send(READ, number=number)
        answer = link.answer_to(number, until=soon())
        return isinstance(answer, FilePiece) and answer.data == b"%d" % number

    with guest(collect) as link, ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(8)))


def test_a_guest_lost_under_several_threads_is_lost_for_each() -> None:
    def end(_: HostRequest, number: int) -> Iterator[bytes]:
        if number == 4:
            yield multiplexed(b"\xff\xff\xff\xff")

    def ask(_: int) -> None:
        with pytest.raises(SandboxLost, match="no frame"):
            link.ask(READ, FilePiece)

    with guest(end) as link, ThreadPoolExecutor(4) as threads:
        list(threads.map(ask, range(4)))


def test_what_nobody_takes_is_bounded() -> None:
    """One request is flooded while another thread reads for all, and its own thread is busy."""

    def flood(_: HostRequest, __: int) -> Iterator[bytes]:
        piece = said(1, printed(b"x" * (1 << 19)))
        return itertools.repeat(piece)

    with guest(flood) as link:
        busy, number = link.request(), link.request()
        assert busy == 1
        link.send(READ, number=number)
        ticks: list[int] = []

        def on_tick() -> None:
            ticks.append(link._inboxes[busy].bytes)
            if ticks[-3:] == [ticks[-1]] * 3 and ticks[-1] > 32 << 20:
                raise TimeoutError

        with pytest.raises(TimeoutError):
            link.answer_to(number, until=soon(), on_tick=on_tick)
        assert link._inboxes[busy].bytes <= 40 << 20


def test_a_thread_that_is_slow_to_take_has_the_others_wait_and_the_guest_is_kept() -> None:
    def much(_: HostRequest, number: int) -> Iterator[bytes]:
        yield from itertools.repeat(said(1, printed(b"x" * (1 << 19))), 120)
        yield said(number, FilePiece(data=b"later", size=5))

    with guest(much) as link, ThreadPoolExecutor(1) as thread:
        busy = link.request()
        other = thread.submit(link.ask, READ, FilePiece)
        until(lambda: link._inboxes[busy].bytes > 32 << 20)
        for _ in range(120):
            assert isinstance(link.answer_to(busy, until=soon()), Printed)
        assert other.result().data == b"later"
