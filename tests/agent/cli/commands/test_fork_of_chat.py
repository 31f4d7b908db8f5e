"""A fork of a chat, and of a run that showed images: what it needs is its own."""

import base64
import json
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from agent.record.conversation_state import ConversationState
from agent.record.kept import recall
from agent.record.reader import read_record
from agent.record.run_state import fold
from agent.record.store import IMAGES
from command_line.chatting import Chatting
from command_line.running import DONE, bash
from command_line.terminal import PROMPT
from fakes.model import saying

Row = Mapping[str, Any]
IMAGE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WRITE = bash("echo one > made.txt")
MORE = bash("echo two >> made.txt")
REQUESTS = (WRITE, {"text": "First."}, MORE, {"text": "Second."})


def past(run: Path) -> ConversationState:
    events = [line.event for line in read_record(run).require()]
    return fold(events, partial(recall, run / IMAGES)).conversation


def forked(chat: Chatting, *arguments: str, past: int, then: tuple[Any, ...]) -> Path:
    """Fork the newest run with a script whose first so many answers are history."""
    model = saying(chat.directory / "then.yaml", *[{"text": "past"}] * past, *then)
    done = chat.moonpool("fork", "last", *arguments, "--json", "-m", model)
    assert done.returncode == 0, done.stdout + done.stderr
    summary: Row = json.loads(done.stdout.splitlines()[-1])
    return chat.runs / str(summary["run_id"])


def test_after_an_answered_request_a_fork_wants_to_know_what_is_next(chat: Chatting) -> None:
    chat.in_pipe("write it\nmore\n", *REQUESTS)
    done = chat.moonpool("fork", "last", "--at", "end")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "say what is to be done next" in done.stderr
    run = forked(chat, "--at", "end", "and now?", past=4, then=(bash("echo 3 >> made.txt"), DONE))
    assert past(run).orders == ("write it", "more", "and now?")
    assert (run / "patch.diff").read_bytes().count(b"\n+") == 4
    for command in (("verify",), ("blame", "made.txt"), ("replay",)):
        done = chat.moonpool(command[0], run.name, *command[1:])
        assert done.returncode == 0, done.stdout + done.stderr


def test_before_a_request_that_was_undone_a_fork_has_the_files_of_then(chat: Chatting) -> None:
    chat.in_pipe("write it\nmore\n/undo\n", *REQUESTS)
    middle = forked(chat, "--at", "1", past=1, then=({"text": "On."},))
    assert past(middle).orders == ("write it",)
    assert b"+two" not in (middle / "patch.diff").read_bytes()


def test_what_a_chat_applied_is_not_taken_for_a_forks_doing(chat: Chatting) -> None:
    checkout = chat.directory / "checkout"
    shutil.copytree(chat.moonpool.directory, checkout)
    terminal = chat.at_terminal(*REQUESTS[:2])
    terminal.type("write it\r")
    terminal.until("First.")
    terminal.until(PROMPT)
    terminal.type("/apply\r")
    terminal.until("[y/N] ")
    terminal.type("y\n")
    terminal.until("added     made.txt")
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 0, terminal.text
    run = forked(chat, "--at", "end", "more", "-w", str(checkout), past=2, then=(MORE, DONE))
    done = chat.moonpool("apply", run.name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (checkout / "made.txt").read_bytes() == b"one\ntwo\n"


def test_a_fork_has_the_images_that_were_shown(chat: Chatting) -> None:
    (chat.moonpool.directory / "logo.png").write_bytes(IMAGE)
    look = {"calls": [{"tool": "read_file", "arguments": {"path": "logo.png"}}]}
    chat.in_pipe("look\n", look, {"text": "An image."})
    (before,) = past(chat.run).images
    run = forked(chat, "--at", "end", "again", past=2, then=({"text": "Yes."},))
    assert past(run).images == (before,)
    shutil.rmtree(chat.run)
    assert past(run).images == (before,)
