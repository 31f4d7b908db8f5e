"""Images as a model is shown them: judged by their bytes, bounded, kept beside the record, and
taken out where the service does not take them. A repository's image is a stranger's bytes."""

import json
import os
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.conversation.resume_state import resume_state_of
from agent.conversation.tool_calls import ImageStore, ToolExecutor
from agent.errors import ModelRefusedRequest, RecordError
from agent.interrupts import Interrupts
from agent.models import image_header
from agent.models.image_header import image_header_of
from agent.models.interface import (
    AssistantMessage,
    Image,
    Message,
    Opaque,
    Reply,
    StopReason,
    ToolResult,
    ToolUse,
    Usage,
    UserMessage,
)
from agent.record.conversation_state import IMAGE_GONE
from agent.record.events.conversation import CallEnded, ImagesWithdrawn
from agent.record.events.kinds import Event, Recorded
from agent.record.events.lifecycle import RunStarted
from agent.record.journal import Journal
from agent.record.kept import recall
from agent.record.outcome import Finished, ModelFailed
from agent.tools import registry
from agent.tools.interface import ToolAnswer, ToolContext
from fakes.box import TmpBox
from fakes.conversation import FakeConversation
from fakes.model import ToldModel, call, calls, say
from fakes.records import lines_from, rows_of, run_started
from policies.loading import load
from policies.policy import Policy


def png(width: int = 2, height: int = 3, tail: bytes = b"") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = (b"\0" + b"\0" * 3 * width) * height if width * height < 10_000 else b""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body + tail


def gif(width: int = 4, height: int = 5) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + b"\0" * 6 + b"\x3b"


def jpeg(width: int = 6, height: int = 7) -> bytes:
    exif = b"\xff\xe1\x00\x06\xff\xc0\x00\x00"  # a size inside a comment is not the image's
    frame = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" + b"\0" * 9
    return b"\xff\xd8" + exif + b"\xff" + frame + b"\xff\xd9"


def webp(kind: bytes, rest: bytes) -> bytes:
    body = b"WEBP" + kind + struct.pack("<I", len(rest)) + rest
    return b"RIFF" + struct.pack("<I", len(body)) + body


VP8X = webp(b"VP8X", b"\0\0\0\0" + (8).to_bytes(3, "little") + (9).to_bytes(3, "little"))
VP8L = webp(b"VP8L", b"\x2f" + (8 | 9 << 14).to_bytes(4, "little") + b"\0" * 8)
VP8 = webp(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 9, 10) + b"\0" * 4)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (png(), ("image/png", 2, 3)),
        (gif(), ("image/gif", 4, 5)),
        (jpeg(), ("image/jpeg", 6, 7)),
        (VP8X, ("image/webp", 9, 10)),
        (VP8L, ("image/webp", 9, 10)),
        (VP8, ("image/webp", 9, 10)),
    ],
)
def test_an_image_is_known_by_its_bytes(data: bytes, expected: tuple[str, int, int]) -> None:
    found = image_header_of(data)
    assert found is not None
    assert (found.media_type, found.width, found.height) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GIF89a is the name of a format.\n",
        b"RIFF is what it begins with, and WEBP follows.\n",
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"\x89PNG\r\n\x1a\n" + b"this is text\n" * 10,
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"\0" + png(),
        b"RIFF\0\0\0\0WAVEfmt " + b"\0" * 40,
        b"GIF89a\0",
        b"%PDF-1.4\n\0" + png(),
        "é".encode() * 8192,
    ],
)
def test_what_is_none_is_taken_for_none(data: bytes) -> None:
    assert image_header_of(data) is None


@settings(deadline=None)
@given(st.binary(max_size=64), st.sampled_from([png(), gif(), jpeg(), VP8X, VP8L, VP8]), st.data())
def test_no_bytes_break_it(junk: bytes, image: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(image)))
    for data in (junk, image[:cut] + junk, junk + image[cut:], image[:cut] + junk + image[cut:]):
        found = image_header_of(data)
        assert found is None or (found.width >= 0 and found.height >= 0)


def test_a_jpeg_of_endless_segments_is_looked_at_for_a_bounded_time() -> None:
    assert image_header_of(b"\xff\xd8\xff" + b"\xff\xe0\x00\x02" * 1_000_000) is not None


def read(box: TmpBox, path: str, shown: tuple[int, ...] = ()) -> ToolAnswer:
    setting = ToolContext(
        left_s=20,
        limits=load("default").limits,
        instead=lambda _program: "",
        shown_images=shown,
        on_output=lambda _stream, _data: None,
    )
    return registry.ALL["read_file"].call({"path": path}, box, setting)


def test_an_image_is_shown_with_a_line_of_text(box: TmpBox) -> None:
    box.write_file("logo.txt", png())
    answer = read(box, "logo.txt")
    assert answer.images == (Image(media_type="image/png", data=png()),)
    assert answer.text.startswith("logo.txt is an image (image/png, 2 x 3 pixels, ")
    assert "\n" not in answer.text


@pytest.mark.parametrize(
    ("data", "shown", "why"),
    [
        (png(0, 5), (), "gives it no size"),
        (png(8001, 1), (), "longer than 8000"),
        (png(2**32 - 1, 2**32 - 1), (), "longer than 8000"),
        (png(tail=b"\0" * image_header.LARGEST_BYTES), (), "more than"),
        (png(), (1,) * image_header.MOST_IMAGES, "already"),
        (png(), (image_header.ALL_BYTES,), "no room"),
    ],
)
def test_what_no_service_takes_is_told_and_not_shown(
    box: TmpBox, data: bytes, shown: tuple[int, ...], why: str
) -> None:
    box.write_file("a.png", data)
    answer = read(box, "a.png", shown)
    assert answer.images == ()
    assert why in answer.text
    assert not answer.is_error


def test_a_vector_image_is_text(box: TmpBox) -> None:
    box.write_file("a.svg", b"<svg><text>hi</text></svg>\n")
    assert read(box, "a.svg").text == "     1\t<svg><text>hi</text></svg>"


def test_a_file_that_changes_between_two_reads_is_what_it_was_in_the_second(box: TmpBox) -> None:
    box.write_file("a.png", png())

    class Changing(TmpBox):
        def read_file(self, path: str, *, offset: int = 0, limit: int | None = None) -> bytes:
            data = super().read_file(path, offset=offset, limit=limit)
            self.write_file(path, b"\0no image any more")
            return data

    changing = Changing()
    changing.write_file("a.png", png())
    answer = read(changing, "a.png")
    changing.close()
    assert answer.images == ()
    assert "binary file" in answer.text


# -- in a conversation -------------------------------------------------------------------------


def showing(
    policy: Policy, box: TmpBox, image_store: Path | None
) -> tuple[ToolExecutor, list[Recorded]]:
    journal = Journal(record=None, interrupts=Interrupts())
    made = ToolExecutor(
        box=box,
        policy=policy,
        approve=lambda *_: pytest.fail("nobody is asked"),
        interrupts=Interrupts(),
        journal=journal,
        image_store=ImageStore(image_store),
    )
    return made, journal.log


def use(path: str) -> ToolUse:
    return ToolUse(id="u", name="read_file", arguments={"path": path})


def test_the_record_names_an_image_and_holds_none_of_it(
    policy: Policy, box: TmpBox, tmp_path: Path
) -> None:
    box.write_file("a.png", png(tail=b"\x01" * 2_000_000))
    made, log = showing(policy, box, tmp_path / "images")
    made.make(use("a.png"), left_s=10)
    (ended,) = [event for event in log if isinstance(event, CallEnded)]
    assert len(json.dumps(ended.json_object())) < 2000
    (kept,) = ended.images
    assert kept.size_bytes > 2_000_000
    again = recall(tmp_path / "images", kept)
    assert again is not None
    assert again.data == png(tail=b"\x01" * 2_000_000)


@pytest.mark.parametrize("how", ["gone", "changed", "link", "fifo", "directory"])
def test_an_image_that_is_not_what_was_shown_is_not_recalled(tmp_path: Path, how: str) -> None:
    images = tmp_path / "images"
    kept = ImageStore(images).keep(Image(media_type="image/png", data=png()))
    file = images / kept.sha256
    file.unlink()
    match how:
        case "changed":
            file.write_bytes(png() + b"x")
        case "link":
            (tmp_path / "same").write_bytes(png())
            file.symlink_to(tmp_path / "same")
        case "fifo":
            os.mkfifo(file)
        case "directory":
            file.mkdir()
    assert recall(images, kept) is None
    assert recall(images, replace(kept, sha256="../../etc/passwd")) is None


def test_a_disk_that_takes_no_image_ends_the_run_in_words(tmp_path: Path) -> None:
    (tmp_path / "images").write_text("a file in its place")
    with pytest.raises(RecordError, match="can't be kept"):
        ImageStore(tmp_path / "images").keep(Image(media_type="image/png", data=png()))


def test_no_more_than_there_is_room_for_in_one_conversation(policy: Policy, box: TmpBox) -> None:
    box.write_file("a.png", png())
    made, log = showing(policy, box, None)
    for _ in range(25):
        made.make(use("a.png"), left_s=10)
    shown = [len(event.images) for event in log if isinstance(event, CallEnded)]
    assert shown == [1] * image_header.MOST_IMAGES + [0] * (25 - image_header.MOST_IMAGES)


def test_images_the_service_refuses_are_taken_out_and_the_run_goes_on(
    conversation: FakeConversation,
) -> None:
    """A header is no image: a repository could end every run that looks at it."""
    conversation.box.write_file("a.png", png())
    refusal = ModelRefusedRequest("400 Could not process image")
    model = ToldModel(call("read_file", path="a.png"), refusal, say("It is broken."))
    assert conversation.on(model) == Finished(message="It is broken.")
    before, after = model.requests[1].messages[-1], model.requests[2].messages[-1]
    assert images_of(before)
    assert not images_of(after)
    assert "taken out" in model.last_words()
    assert [type(event) for event in conversation.log].count(ImagesWithdrawn) == 1


def test_a_request_that_is_refused_without_them_too_ends_the_run(
    conversation: FakeConversation,
) -> None:
    conversation.box.write_file("a.png", png())
    refusal = ModelRefusedRequest("404 no such model")
    model = ToldModel(call("read_file", path="a.png"), refusal, refusal)
    assert isinstance(conversation.on(model), ModelFailed)
    assert isinstance(conversation.on(ToldModel(refusal)), ModelFailed)


def images_of(message: Message) -> list[Image]:
    return [i for block in message.blocks if isinstance(block, ToolResult) for i in block.images]


@pytest.fixture
def begun() -> RunStarted:
    return run_started()


THOUGHT = Opaque(provider="anthropic", raw={"type": "thinking", "thinking": "x", "signature": "s"})


def thinking_call(path: str) -> Reply:
    made = calls(("read_file", {"path": path}))
    return replace(made, message=AssistantMessage(blocks=(THOUGHT, *made.message.blocks)))


def test_taken_up_again_the_model_has_the_same_bytes_before_it(
    policy: Policy, box: TmpBox, tmp_path: Path, begun: Event
) -> None:
    box.write_file("a.png", png())
    conversation = FakeConversation(box=box, policy=policy, image_store=ImageStore(tmp_path))
    model = ToldModel(thinking_call("a.png"), say("", StopReason.END_TURN, Usage()), say("Done."))
    conversation.on(model)
    lines = lines_from(rows_of([begun, *conversation.log]))
    past = resume_state_of(lines, lambda kept: recall(tmp_path, kept))
    assert past.conversation.history[:3] == model.requests[-1].messages[:3]
    assert past.conversation.images == (Image(media_type="image/png", data=png()),)
    assert past.lossy.exact_thinking
    lost = resume_state_of(lines)
    (result,) = [b for b in lost.conversation.history[2].blocks if isinstance(b, ToolResult)]
    assert result.text.endswith(IMAGE_GONE)
    assert not lost.lossy.exact_thinking


def test_taken_up_again_what_was_withdrawn_stays_so(
    policy: Policy, box: TmpBox, tmp_path: Path, begun: Event
) -> None:
    box.write_file("a.png", png())
    conversation = FakeConversation(box=box, policy=policy, image_store=ImageStore(tmp_path))
    refusal = ModelRefusedRequest("400 Could not process image")
    model = ToldModel(call("read_file", path="a.png"), refusal, call("list_dir"), say("Done."))
    conversation.on(model)
    lines = lines_from(rows_of([begun, *conversation.log]))
    past = resume_state_of(lines, lambda kept: recall(tmp_path, kept))
    wanted = model.requests[-1].messages
    assert past.conversation.history[: len(wanted)] == wanted
    assert isinstance(past.conversation.history[2], UserMessage)
