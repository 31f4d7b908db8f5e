"""The record: chained, redacted, atomic, and a plain error where it can't be written."""

import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.errors import RecordError
from agent.models.interface import Usage
from agent.record.events.conversation import CallEnded, ModelReplied
from agent.record.events.lifecycle import Notice
from agent.record.events.recorded import STRING_LIMIT, plain
from agent.record.reader import read_record
from agent.record.store import PATCH, RunRecord, new_run_id
from fakes.model import call
from sandbox.cache import write_atomically


def test_run_ids_sort_by_time() -> None:
    begun = datetime(2026, 11, 21, 3, 15, 0, tzinfo=UTC)
    steps = [timedelta(microseconds=20 * n) for n in range(1000)] + [timedelta(seconds=1)]
    ids = [new_run_id(begun + step) for step in steps]
    assert ids == sorted(ids)
    assert ids[0].startswith("20261121-031500-0000")


def test_each_line_carries_the_digest_of_the_one_before(tmp_path: Path) -> None:
    record = RunRecord.create(tmp_path)
    lines = [record.append(Notice(text=f"{number}").json_object()) for number in range(3)]
    written = (record.directory / "events.jsonl").read_text().splitlines()
    assert written == lines
    assert json.loads(lines[0])["prev"] == "0" * 64
    assert json.loads(lines[2])["prev"] == hashlib.sha256(lines[1].encode()).hexdigest()
    assert not read_record(record.directory).fault


@pytest.mark.parametrize("tamper", ["change", "drop", "swap", "tear"])
def test_a_tampered_line_breaks_the_chain(tmp_path: Path, tamper: str) -> None:
    record = RunRecord.create(tmp_path)
    for number in range(5):
        record.append(Notice(text=f"{number}").json_object())
    path = record.directory / "events.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    match tamper:
        case "change":
            lines[1] = lines[1].replace('"text": "1"', '"text": "7"')
        case "drop":
            del lines[1]
        case "swap":
            lines[1], lines[2] = lines[2], lines[1]
        case "tear":
            lines[4] = lines[4][:-20]
    path.write_text("".join(lines))
    read = read_record(path.parent)
    assert read.fault or read.torn_bytes


def test_known_keys_and_keys_by_their_shape_are_redacted_everywhere(tmp_path: Path) -> None:
    secret = 'very"secret"value'
    shaped = "sk-ant-" + "a1" * 20
    record = RunRecord.create(tmp_path, known_secrets=(secret, "short"))
    line = record.append({"event": "x", "text": f"{secret} {shaped} short"})
    record.write_summary({"task": f"use {secret} and {shaped}"})
    record.write_report(f"<p>{shaped}</p>")
    assert json.loads(line)["text"] == "[redacted] [redacted] short"
    everything = b"".join(path.read_bytes() for path in record.directory.iterdir())
    assert b"very" not in everything
    assert shaped.encode() not in everything


@pytest.mark.parametrize("kept", [8, 9, 20, 29])
@pytest.mark.parametrize("secret", ["a-known-secret-of-30-character", 'one"that\nis\\escaped' * 2])
def test_a_cut_through_a_known_secret_leaves_nothing_of_it(
    tmp_path: Path, secret: str, kept: int
) -> None:
    head = len(plain("x" * (STRING_LIMIT + 1))["head"])  # type: ignore[index]
    long = plain(("x" * (head - kept) + secret).ljust(STRING_LIMIT + 1, "y"))
    record = RunRecord.create(tmp_path, known_secrets=(secret,))
    record.append({"event": "x", "text": long, "again": [long]})
    record.write_summary({"task": long})
    for name in ("events.jsonl", "run.json"):
        text = (record.directory / name).read_text()
        assert json.dumps(secret[:8])[1:-1] not in text
        row = json.loads(text)
        for found in [row["text"], *row["again"]] if "text" in row else [row["task"]]:
            assert found["head"] == "x" * (head - kept) + "[redacted]"


@pytest.mark.parametrize("before", ["\n", "\t", "\x1b", "é", "\r\n", "=", "_", "\\n", "a\\"])
def test_keys_are_redacted_whatever_stands_before_them(tmp_path: Path, before: str) -> None:
    shaped = "sk-ant-" + "a1" * 20
    record = RunRecord.create(tmp_path)
    record.append({"event": "x", "text": f"a{before}{shaped}"})
    record.write_summary({"task": f"a{before}{shaped}"})
    everything = b"".join(path.read_bytes() for path in record.directory.iterdir())
    assert shaped.encode() not in everything


def test_words_that_end_as_keys_begin_stay(tmp_path: Path) -> None:
    words = "desk-lamps-and-everything-else-on-it"
    assert words in RunRecord.create(tmp_path).append({"event": "x", "text": words})


def test_a_patch_is_written_as_it_is(tmp_path: Path) -> None:
    data = b"\x00\xff sk-ant-" + b"a1" * 20 + b"\r\n"
    record = RunRecord.create(tmp_path)
    assert record.write_patch(PATCH, data).read_bytes() == data


def test_lines_are_ascii_whatever_stands_in_them(tmp_path: Path) -> None:
    record = RunRecord.create(tmp_path)
    line = record.append({"event": "x", "text": "\x1b]0;pwn\x07 \u202e \x9b31m \ud800 \u2028"})
    assert line.isascii()
    assert line.isprintable()


def test_the_record_is_for_its_owner_only(tmp_path: Path) -> None:
    record = RunRecord.create(tmp_path)
    record.write_summary({})
    modes = {
        path.stat().st_mode & 0o077 for path in [record.directory, *record.directory.iterdir()]
    }
    assert modes == {0}


def test_an_unwritable_place_is_an_error_that_names_it(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(RecordError, match="MOONPOOL_HOME"):
        RunRecord.create(blocked)


def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path) -> None:
    record = RunRecord.create(tmp_path)
    record.close()
    record._events = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(RecordError, match="No space left on device"):
        record.append({"event": "x"})


def test_writing_replaces_a_link_and_never_follows_it(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    link = tmp_path / "patch.diff"
    link.symlink_to(victim)
    write_atomically(link, b"patch")
    assert victim.read_text() == "precious"
    assert link.read_bytes() == b"patch"
    assert not link.is_symlink()


def test_a_huge_string_is_kept_by_head_and_digest() -> None:
    text = "x" * (STRING_LIMIT + 1)
    kept = plain(text)
    assert isinstance(kept, dict)
    assert kept["characters"] == STRING_LIMIT + 1
    assert kept["sha256"] == hashlib.sha256(text.encode()).hexdigest()


def test_a_reply_is_kept_whole_enough_to_be_sent_again() -> None:
    reply = call("bash", command="echo x")
    event = ModelReplied(turn=1, reply=reply, seconds=0.5, used=Usage(), usd=None)
    (block,) = json.loads(json.dumps(event.json_object()))["reply"]["message"]["blocks"]
    assert block["type"] == "tool_use"
    assert (block["id"], block["name"]) == ("use_0", "bash")
    assert block["arguments"] == {"command": "echo x"}


def test_arguments_nested_without_end_or_no_numbers_are_still_recorded() -> None:
    nested: object = "core"
    for _ in range(5000):
        nested = [nested]
    recorded = json.dumps(plain({"a": nested, "b": float("nan")}), allow_nan=False)
    assert "nested too deeply" in recorded


def test_bytes_that_are_no_text_survive_as_base64() -> None:
    assert plain(b"caf\xc3\xa9") == "café"
    assert plain(b"caf\xe9") == {"base64": "Y2Fm6Q=="}


def test_an_event_is_named_after_its_kind() -> None:
    event = CallEnded(
        number=1,
        tool_use_id="a",
        tool="bash",
        is_error=False,
        exit_code=0,
        ending=None,
        seconds=1,
        text="",
        brief="",
    )
    assert event.json_object()["event"] == "call_ended"
