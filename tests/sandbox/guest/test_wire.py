"""The frames between host and guest: what is written is read again, and nothing else is."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.guest import Value
from sandbox.guest import wire

NUMBERS = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)


def values(depth: int = 5) -> st.SearchStrategy[Value]:
    found: st.SearchStrategy[Value] = st.one_of(st.none(), NUMBERS, st.binary(max_size=40))
    for _ in range(depth):
        found = st.one_of(found, st.lists(found, max_size=4))
    return found


def nested(depth: int) -> bytes:
    return b"L\0\0\0\1" * depth + b"N"


def length(count: int) -> bytes:
    return count.to_bytes(4, "big")


@given(values())
def test_what_is_framed_is_read_again(value: Value) -> None:
    frame = wire.frame(value)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert wire.decode(frame[4:]) == value


@given(st.lists(values(2), max_size=6), st.lists(st.integers(1, 9), min_size=1, max_size=20))
def test_a_stream_is_cut_into_the_same_values_however_it_arrives(
    sent: list[Value], sizes: list[int]
) -> None:
    stream = b"".join(map(wire.frame, sent))
    reader = wire.FrameReader()
    received: list[Value] = []
    turn = 0
    while stream:
        size = sizes[turn % len(sizes)]
        received += reader.read(stream[:size])
        stream, turn = stream[size:], turn + 1
    assert received == sent


@given(st.binary(max_size=200))
def test_random_bytes_are_a_value_or_a_wire_error(data: bytes) -> None:
    try:
        value = wire.decode(data)
    except wire.WireError:
        return
    assert wire.frame(value)[4:] == data


@given(st.lists(st.sampled_from([b"L", b"B", b"I", b"N", b"\0", b"\1", b"\xff", b"\0\0\0\2"])))
def test_bytes_that_look_like_ours_are_a_value_or_a_wire_error(parts: list[bytes]) -> None:
    data = b"".join(parts)
    try:
        value = wire.decode(data)
    except wire.WireError:
        return
    assert wire.frame(value)[4:] == data


@given(st.binary(max_size=300))
def test_a_reader_of_random_bytes_raises_nothing_but_wire_errors(data: bytes) -> None:
    reader = wire.FrameReader()
    try:
        list(reader.read(data))
    except wire.WireError:
        return


@pytest.mark.parametrize("depth", [7, 8, 100_000])
def test_a_nesting_bomb_is_refused(depth: int) -> None:
    with pytest.raises(wire.WireError, match="deep"):
        wire.decode(nested(depth))


def test_the_deepest_nesting_in_use_is_read() -> None:
    assert wire.decode(nested(6)) == [[[[[[None]]]]]]


@pytest.mark.parametrize(
    "body",
    [
        b"L" + length(0xFFFFFFFF) + b"N",
        b"L" + length(2) + b"N",
        b"L" + length(1),
        b"L\xff",
        b"B" + length(0xFFFFFFFF) + b"x",
        b"B" + length(2) + b"x",
        b"B\0",
        b"I" + bytes(7),
        b"I",
        b"",
        b"NN",
        b"N\0",
        b"S" + length(1) + b"x",
    ],
)
def test_a_lie_about_a_length_or_a_type_is_refused(body: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(body)


def test_lies_about_counts_allocate_nothing() -> None:
    lies = [
        b"L" + length(0xFFFFFFFF),
        b"B" + length(0xFFFFFFFF),
        nested(5)[:-1] + b"L\xff\xff\xff\xff",
    ]
    tracemalloc.start()
    try:
        for lie in lies:
            with pytest.raises(wire.WireError):
                wire.decode(lie)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000


def test_a_frame_announced_too_large_is_refused_before_it_is_kept() -> None:
    reader = wire.FrameReader()
    with pytest.raises(wire.WireError, match="announced"):
        list(reader.read((wire.FRAME_LIMIT + 1).to_bytes(4, "big")))


def test_a_frame_of_the_largest_size_passes_and_a_larger_one_is_not_made() -> None:
    largest = bytes(wire.FRAME_LIMIT - 5)
    assert wire.decode(wire.frame(largest)[4:]) == largest
    with pytest.raises(wire.WireError):
        wire.frame(largest + b"x")


@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 1 << 4000])
def test_a_number_that_does_not_fit_is_a_wire_error(number: int) -> None:
    with pytest.raises(wire.WireError):
        wire.frame([number])
