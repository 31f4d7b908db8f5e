"""Messages by name of their fields: what is sent is read again, and anything else is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.guest import Value
from sandbox.guest import image_protocol, message, protocol, wire
from sandbox.guest.message import Fields, GuestAnswer, HostRequest, Message, ProtocolError

FIELDS = [
    kind
    for module in (protocol, image_protocol)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Fields)
]
MESSAGES = [
    kind
    for kind in FIELDS
    if issubclass(kind, Message) and kind not in (Message, HostRequest, GuestAnswer)
]
BY_NAME = {kind.__name__: kind for kind in FIELDS}


def of_type(kind: str) -> st.SearchStrategy[object]:
    """Values of a field, as its annotation has it."""
    if kind.endswith(" | None"):
        return st.none() | of_type(kind.removesuffix(" | None"))
    if kind.startswith("list["):
        return st.lists(of_type(kind[5:-1]), max_size=3)
    plain: dict[str, st.SearchStrategy[object]] = {
        "bytes": st.binary(max_size=20),
        "int": st.integers(-(1 << 63), (1 << 63) - 1),
        "bool": st.booleans(),
    }
    return plain[kind] if kind in plain else made(BY_NAME[kind])


def made(kind: type[Fields]) -> st.SearchStrategy[Fields]:
    return st.builds(kind, **{name: of_type(text) for name, text in kind._kinds.items()})


def shown(value: object) -> object:
    """A value with all that is in it, to compare."""
    if isinstance(value, Fields):
        return type(value).__name__, {name: shown(getattr(value, name)) for name in value._kinds}
    return [shown(item) for item in value] if isinstance(value, list) else value


def read(frame: bytes) -> tuple[int, Message]:
    value = wire.decode(frame[4:])
    try:
        return message.read(value, GuestAnswer)
    except ProtocolError:
        return message.read(value, HostRequest)


@given(st.data())
@pytest.mark.parametrize("kind", MESSAGES)
def test_what_is_sent_is_read_again(kind: type[Message], data: st.DataObject) -> None:
    sent = data.draw(made(kind))
    assert isinstance(sent, Message)
    number, received = read(message.frame(7, sent))
    assert (number, shown(received)) == (7, shown(sent))


VALUES: st.SearchStrategy[Value] = st.recursive(
    st.none() | st.integers(0, 3) | st.binary(max_size=3), lambda inner: st.lists(inner, max_size=3)
)


@given(st.sampled_from(MESSAGES), st.lists(VALUES, max_size=9))
def test_any_fields_are_a_message_or_an_error_that_names_it(
    kind: type[Message], fields: list[Value]
) -> None:
    side = GuestAnswer if issubclass(kind, GuestAnswer) else HostRequest
    try:
        _, received = message.read([kind.__name__.encode(), 1, *fields], side)
    except ProtocolError as error:
        assert str(error).startswith(kind.__name__)  # noqa: PT017 - where there is one
        return
    assert type(received) is kind


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        ([b"FilePiece", 1], r"^FilePiece\.data is missing$"),
        ([b"FilePiece", 1, b"x"], r"^FilePiece\.size is missing$"),
        ([b"FilePiece", 1, b"x", 1, 2], r"^FilePiece has 1 fields too many$"),
        ([b"FilePiece", 1, 1, 1], r"^FilePiece\.data: is not of type bytes$"),
        ([b"FilePiece", 1, b"x", None], r"^FilePiece\.size: is not of type int$"),
        ([b"Listed", 1, [], 2], r"^Listed\.cut: is not of type bool$"),
        ([b"Listed", 1, b"", 0], r"^Listed\.entries: is not of type list$"),
        ([b"Listed", 1, [[b"a", b"f"]], 0], r"^Listed\.entries: ListedEntry\.size is missing$"),
        ([b"Listed", 1, [b"a"], 0], r"^Listed\.entries: ListedEntry is no list of fields$"),
        ([b"FilePiece", None, b"x", 1], r"^FilePiece is of no request$"),
        ([b"ReadPiece", 1, b"x", 0, 1], "there is no message b'ReadPiece'"),
        ([b"ListedEntry", 1, b"x", b"f", 1], "there is no message b'ListedEntry'"),
        ([b"GuestAnswer", 1, 1], "too many"),
        ([b"\xff", 1], "there is no message"),
        ([7, 1], "there is no message 7"),
        ([b"Done"], "no message"),
        (None, "no message"),
    ],
)
def test_a_malformed_answer_is_named_by_message_and_field(frame: Value, why: str) -> None:
    with pytest.raises(ProtocolError, match=why):
        message.read(frame, GuestAnswer)
