"""The host's end of a guest's stream, with a guest that lies, floods, babbles or says nothing."""

import itertools
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.guest import STDERR, STDOUT, guest, link_to, multiplexed, said
from sandbox.errors import (
    FileDenied,
    FileError,
    FileExists,
    FileMissing,
    FileWrongType,
    SandboxLost,
)
from sandbox.guest import wire
from sandbox.link.connection import GuestLink, Value, file_error


def soon() -> float:
    return time.monotonic() + 20.0


def received(link: GuestLink, count: int) -> list[list[Value]]:
    until = soon()
    return [link.receive(until=until) for _ in range(count)]


STREAM = (
    said(b"one", 1, b"abc")
    + multiplexed(b"a warning", STDERR)
    + multiplexed(b"")
    + said(b"two", [b"x", None])
)


@pytest.mark.parametrize("cut", range(len(STREAM) + 1))
def test_a_header_split_at_any_byte_changes_nothing(cut: int) -> None:
    with link_to() as link:
        for piece in (STREAM[:cut], STREAM[cut:]):
            link._take(memoryview(piece))
        assert received(link, 2) == [[b"one", 1, b"abc"], [b"two", [b"x", None]]]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30))
def test_pieces_of_any_size_change_nothing(sizes: list[int]) -> None:
    with link_to() as link:
        rest, turn = STREAM, itertools.cycle(sizes)
        while rest:
            size = next(turn)
            link._take(memoryview(rest[:size]))
            rest = rest[size:]
        assert received(link, 2) == [[b"one", 1, b"abc"], [b"two", [b"x", None]]]


def test_a_frame_may_be_spread_over_many_engine_messages() -> None:
    frame = wire.frame([b"data", bytes(range(256))])
    with link_to(*(multiplexed(frame[at : at + 1]) for at in range(len(frame)))) as link:
        assert received(link, 1) == [[b"data", bytes(range(256))]]


def test_large_output_arrives_whole() -> None:
    data = bytes(range(256)) * 1000
    with link_to(*[said(b"out", number, data) for number in range(20)]) as link:
        assert received(link, 20) == [[b"out", number, data] for number in range(20)]


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
    with link_to(multiplexed(b"\xff\xff\xff\xff"), said(b"ok", 1)) as link:
        with pytest.raises(SandboxLost):
            received(link, 1)
        with pytest.raises(SandboxLost):
            link.ask("read", b"a", 0, 1)
        with pytest.raises(SandboxLost):
            link.send(b"anything")


def test_an_early_end_says_what_the_guest_wrote_on_its_way_out() -> None:
    last = multiplexed(b"guest: MemoryError: \n", STDERR)
    with link_to(last, ends=True) as link, pytest.raises(SandboxLost, match="MemoryError"):
        link.ask("freeze")


@pytest.mark.parametrize("size", [0, 3, 7, 9])
def test_an_end_in_the_middle_of_anything_loses_the_guest(size: int) -> None:
    with link_to(said(b"ok", 1)[:size], ends=True) as link, pytest.raises(SandboxLost):
        link.ask("freeze")


def test_silence_loses_the_guest_after_the_bound() -> None:
    with link_to(answer_timeout_s=0.01) as link, pytest.raises(SandboxLost, match="answer"):
        link.ask("freeze")


def test_answers_to_other_requests_are_no_answer() -> None:
    wrong = [said(b"ok", 7), said(b"ok", b"1"), said(b"ok", None), said(b"ok"), said(b"err", 2, 5)]
    with link_to(*wrong, answer_timeout_s=0.05) as link, pytest.raises(SandboxLost):
        link.ask("freeze")


def test_an_answer_behind_others_is_found() -> None:
    with link_to(said(b"done", 9, 0), said(b"ok", 8), said(b"ok", 1, b"mine")) as link:
        assert link.ask("freeze") == [b"mine"]


def test_a_flood_of_wrong_answers_ends_at_the_bound() -> None:
    def flood(_name: str, _number: int, _arguments: list[Value]) -> Iterator[bytes]:
        return itertools.repeat(said(b"ok", 999) * 100)

    with guest(flood, answer_timeout_s=0.1) as link, pytest.raises(SandboxLost):
        link.ask("freeze")


def test_a_flood_on_standard_error_ends_at_the_bound_and_is_not_kept() -> None:
    def flood(_name: str, _number: int, _arguments: list[Value]) -> Iterator[bytes]:
        return itertools.repeat(multiplexed(b"x" * 50_000, STDERR))

    with guest(flood, answer_timeout_s=0.1) as link:
        with pytest.raises(SandboxLost):
            link.ask("freeze")
        assert len(link._stderr) <= 4096


def test_pieces_without_end_end_at_the_bound_of_the_whole_answer() -> None:
    def drip(_name: str, number: int, _arguments: list[Value]) -> Iterator[bytes]:
        return itertools.repeat(said(b"walk", number, [], []))

    with guest(drip) as link:
        link._stream_timeout_s = 0.1
        with pytest.raises(SandboxLost):
            for _ in link.stream("walk", b"", 0):
                pass


def test_a_header_that_announces_gigabytes_keeps_nothing() -> None:
    header = bytes([STDOUT, 0, 0, 0]) + b"\xff\xff\xff\xff"
    with link_to(header, b"\0\x0f\xff\xff", b"x" * 1000, ends=True) as link:
        with pytest.raises(SandboxLost):
            received(link, 1)
        assert len(link._frames._buffer) < 2000


@pytest.mark.parametrize(
    "request_", [[1 << 70], [b"x" * (wire.FRAME_LIMIT + 1)], [[b"word"] * 300_000]]
)
def test_a_request_that_fits_in_no_frame_is_refused_and_the_guest_is_not_lost(
    request_: list[Value],
) -> None:
    with link_to(said(b"ok", 2)) as link:
        with pytest.raises(FileError):
            link.ask("read", *request_)
        assert link.ask("freeze") == []


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
    with link_to(said(b"err", 1, number, b"no")) as link, pytest.raises(FileError) as caught:
        link.ask("read", b"a", 0, 1)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    "rest", [[], [b"x"], [None, None], [2], [2, 3], [[], []], [5, b"\xff" * 9]]
)
def test_a_malformed_refusal_is_still_a_refusal(rest: list[Value]) -> None:
    assert isinstance(file_error(rest), FileError)


def test_a_long_reason_is_cut() -> None:
    assert len(str(file_error([2, b"x" * 100_000]))) <= 200
