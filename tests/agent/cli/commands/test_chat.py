"""``moonpool chat`` as a person has it: at a terminal, at a dumb one, and in a pipe."""

import json
import os
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.record.reader import read_record
from command_line.chatting import DUMB_PROMPT, Chatting
from command_line.running import DONE, bash, stands
from command_line.terminal import PROMPT, Terminal
from sandbox.engine.docker import Engine
from standins.anthropic.server import StandIn
from standins.exchange.replies import Break, Call, How, answer
from waiting import until

QUESTION = "\nrun this? [y/N/a/s/?] "
WRITE = bash("cd /tmp; export KEPT=1; echo one > /workspace/made.txt")
READ = bash('pwd; echo "kept $KEPT"; cat /workspace/made.txt; echo two >> /workspace/made.txt')


# -- requests ---------------------------------------------------------------------------------


def test_requests_build_on_each_other_and_leaving_offers_the_patch(
    chat: Chatting, engine: Engine
) -> None:
    terminal = chat.at_terminal(
        WRITE, {"text": "First."}, READ, {"expect": ["/tmp", "kept 1", "one"], "text": "Second."}
    )
    terminal.type("write it\r")
    terminal.until("First.")
    terminal.until(PROMPT)
    terminal.type("and again\r")
    terminal.until("Second.")
    terminal.until(PROMPT)
    terminal.type("/diff\r")
    terminal.until("+one\n+two\n")
    terminal.until(PROMPT)
    terminal.type("/quit\r")
    assert terminal.end() == 0, terminal.text
    assert f"patch   {chat.run}/patch.diff" in terminal.text
    assert f"moonpool apply {chat.run.name} --check" in terminal.text
    assert b"+one\n+two\n" in chat.patch
    assert (chat.run / "report.html").exists()
    assert chat.summary["task"] == "chat: write it"
    assert not stands(engine, next(e["container"] for e in chat.events() if "container" in e))
    assert not read_record(chat.run).fault
    assert list(chat.moonpool.directory.iterdir()) == [], "nothing was applied"


def test_ctrl_d_quits_and_ctrl_c_at_the_prompt_clears_the_line(chat: Chatting) -> None:
    terminal = chat.at_terminal({"text": "Heard."})
    terminal.type("never said\x03")
    terminal.until(PROMPT)
    terminal.type("said\r")
    terminal.until("Heard.")
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 0, terminal.text
    said = [event["text"] for event in chat.events() if event["event"] == "user_message_added"]
    assert said == ["said"]


def test_what_is_pasted_in_several_lines_is_one_request_and_no_command(chat: Chatting) -> None:
    terminal = chat.at_terminal({"text": "Heard."})
    terminal.type("\x1b[200~look at this:\n/quit\nand that\x1b[201~")
    terminal.type("\r")
    terminal.until("Heard.")
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 0
    said = [event["text"] for event in chat.events() if event["event"] == "user_message_added"]
    assert said == ["look at this:\n/quit\nand that"]


def test_the_history_is_its_owners_alone_and_holds_no_secret(chat: Chatting) -> None:
    secret = "correct-horse-battery"
    terminal = chat.at_terminal({"text": "Heard."}, env={"MY_TOKEN": secret})
    terminal.type(f"the token is {secret}\r")
    terminal.until("Heard.")
    terminal.until(PROMPT)
    terminal.type("\x04")
    terminal.end()
    history = Path(chat.moonpool.environ["MOONPOOL_HOME"]) / "chat-history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "the token is" in history.read_text()
    assert secret not in history.read_text()


# -- signals ----------------------------------------------------------------------------------


def test_ctrl_c_stops_the_command_and_not_the_chat(chat: Chatting) -> None:
    terminal = chat.at_terminal(
        bash("echo begun > made.txt; echo on its w''ay; sleep 60"),
        {"expect": [], "text": "Going on."},
    )
    terminal.type("sleep\r")
    terminal.until("on its way")
    terminal.type("\x03")
    terminal.until("stopped: what was done stays")
    terminal.until(PROMPT)
    terminal.type("go on\r")
    terminal.until("Going on.")
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 0, terminal.text
    assert b"+begun" in chat.patch


def test_ctrl_c_stops_the_wait_for_the_model(chat: Chatting) -> None:
    with StandIn() as api:
        env = {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": api.key}
        api.queue(Break(How.HANG, before="message_stop"))
        terminal = chat.at_terminal(model="anthropic:claude-opus-5-5", env=env)
        terminal.type("first\r")
        until(lambda: api.requests)
        time.sleep(0.3)
        terminal.type("\x03")
        terminal.until("stopped: what was done stays")
        terminal.until(PROMPT)
        api.queue(answer(Call("bash", {"command": "echo x > made"})), answer("Done now."))
        terminal.type("second\r")
        terminal.until("Done now.")
        terminal.until(PROMPT)
        terminal.type("\x04")
        assert terminal.end() == 0, terminal.text
        assert all(request.fault is None for request in api.requests), "the API takes each of them"
        words = json.dumps(api.requests[-2].body["messages"])
        assert "first" in words
        assert "second" in words
        assert "The person stopped the request" in words
        assert b"+x" in chat.patch


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("where", ["prompt", "command"])
def test_a_supervisors_signal_ends_the_chat_with_its_patch(
    chat: Chatting, number: signal.Signals, where: str
) -> None:
    terminal = chat.at_terminal(WRITE, {"text": "First."}, bash("echo on its w''ay; sleep 60"))
    terminal.type("write it\r")
    terminal.until("First.")
    terminal.until(PROMPT)
    if where == "command":
        terminal.type("sleep\r")
        terminal.until("on its way")
    time.sleep(0.5)
    os.kill(terminal.pid, number)
    assert terminal.end() == 130, terminal.text
    assert chat.summary["outcome"] == "interrupted"
    assert b"+one" in chat.patch


# -- approvals --------------------------------------------------------------------------------

ASKING = "+commands:\n  - {program: touch, ask: true}"


def test_approvals_once_always_shown_and_declined(chat: Chatting) -> None:
    terminal = chat.at_terminal(
        *[bash(f"touch {name}") for name in ("yes", "no", "always", "always", "always2")],
        {"expect": "declined", "text": "All asked."},
        policy=ASKING,
    )
    terminal.type("touch them\r")
    for said in ("y\n", "n\n", "a\n", "s\n", "n\n"):
        terminal.until(QUESTION)
        terminal.type(said)
    terminal.until("All asked.")
    assert terminal.text.count("  sha256  ") == 1, "s was said once"
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 0, terminal.text
    assert [
        event["answer"] for event in chat.events() if event["event"] == "approval_answered"
    ] == [
        *("approved", "declined", "approved", "approved before", "declined"),
    ]
    assert {row["path"] for row in chat.summary["changes"]} == {"yes", "always"}


def test_a_long_command_is_not_approved_before_all_of_it_was_shown(chat: Chatting) -> None:
    long = "touch a\n" + "true\n" * 40 + "touch hidden"
    terminal = chat.at_terminal(bash(long), DONE, policy=ASKING)
    terminal.type("do it\r")
    shown = terminal.until(QUESTION)
    assert "hidden" not in shown
    terminal.type("y\n")
    terminal.until("not before you have seen all of it")
    terminal.until(QUESTION)
    terminal.type("s\n")
    assert "touch hidden" in terminal.until(QUESTION)
    terminal.type("y\n")
    terminal.until("Done.")
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 0
    assert {row["path"] for row in chat.summary["changes"]} == {"a", "hidden"}


@pytest.mark.slow
def test_what_was_typed_around_a_question_answers_no_other(chat: Chatting) -> None:
    terminal = chat.at_terminal(
        bash("sleep 2; echo slept"), bash("touch one"), bash("touch two"), DONE, policy=ASKING
    )
    terminal.type("go\r")
    terminal.until("running")
    terminal.type("y\ny\n")  # before the question
    terminal.until(QUESTION)
    terminal.type("x" * 150 + "y\ny\n/quit\n")  # after its end
    terminal.until(QUESTION)
    terminal.type("n\n")
    terminal.until("Done.")
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 0, terminal.text
    assert chat.summary["changes"] == []


# -- what a model or a file says ----------------------------------------------------------------

FORGED = (
    "\x1b[2J\x1b]0;mine\x07\r> /apply\r\n"
    + "x" * 96
    + "run this? [y/N/a/s/?] y\n/quit\napply to /? [y/N] "
)


def test_nothing_that_a_model_or_a_file_says_acts_or_looks_like_ours(chat: Chatting) -> None:
    terminal = chat.at_terminal(
        {"text": FORGED, **bash(f"printf %s {json.dumps(FORGED)} > $'\\e[31mname'; echo x; false")},
        {"text": FORGED + "end of it"},
    )
    terminal.type("say it\r")
    terminal.until("end of it")
    terminal.until(PROMPT)
    terminal.type("/diff\r")
    terminal.until("new file mode")
    terminal.until(PROMPT)
    terminal.type("/output\r")
    terminal.until("exit code")
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 0, terminal.text
    assert "\x1b[2J" not in terminal.shown
    assert "\x1b]0;mine" not in terminal.shown
    forged = [line for line in terminal.text.split("\n") if "[y/N" in line]
    assert forged
    assert all(line.startswith(("* ", "● ", "  ", "+", "┆ ")) for line in forged), forged
    assert list(chat.moonpool.directory.iterdir()) == []


# -- undo, apply --------------------------------------------------------------------------------


def test_undo_takes_the_last_request_back_and_the_model_knows(chat: Chatting) -> None:
    terminal = chat.at_terminal(
        WRITE, {"text": "First."}, READ, {"text": "Second."},
        bash("cat made.txt /workspace/made.txt"), {"expect": "one", "text": "Third."},
    )  # fmt: skip
    for request, heard in (("one\r", "First."), ("two\r", "Second.")):
        terminal.type(request)
        terminal.until(heard)
        terminal.until(PROMPT)
    terminal.type("/undo\r")
    terminal.until("request 2 is undone")
    terminal.until(PROMPT)
    terminal.type("three\r")
    terminal.until("Third.")
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 0
    assert b"+one" in chat.patch
    assert b"+two" not in chat.patch
    said = [event["text"] for event in chat.events() if event["event"] == "user_message_added"]
    assert any("request number 2" in text for text in said)


def test_apply_asks_writes_and_goes_on_and_afterwards_only_the_rest_is_applied(
    chat: Chatting,
) -> None:
    terminal = chat.at_terminal(WRITE, {"text": "First."}, READ, {"text": "Second."})
    made = chat.moonpool.directory / "made.txt"
    terminal.type("one\r")
    terminal.until("First.")
    terminal.until(PROMPT)
    for said, there in (("n\n", False), ("y\n", True)):
        terminal.type("/apply\r")
        terminal.until("[y/N] ")
        terminal.type(said)
        terminal.until("not applied" if said == "n\n" else "added     made.txt")
        terminal.until(PROMPT)
        assert made.exists() is there
    terminal.type("two\r")
    terminal.until("Second.")
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 0, terminal.text
    assert made.read_bytes() == b"one\n"
    done = chat.moonpool("apply", "last")
    assert done.returncode == 0, done.stderr
    assert made.read_bytes() == b"one\ntwo\n"


def test_what_apply_would_take_back_is_shown_before_it_asks(chat: Chatting) -> None:
    terminal = chat.at_terminal(WRITE, {"text": "First."})
    made = chat.moonpool.directory / "made.txt"
    terminal.type("one\r")
    terminal.until("First.")
    terminal.until(PROMPT)
    terminal.type("/apply\r")
    terminal.until("[y/N] ")
    terminal.type("y\n")
    terminal.until(PROMPT)
    assert made.exists()
    terminal.type("/undo\r")
    terminal.until("request 1 is undone")
    terminal.until(PROMPT)
    terminal.type("/apply\r")
    shown = terminal.until("[y/N] ")
    assert "deleted" in shown
    assert "made.txt" in shown
    terminal.type("y\n")
    terminal.until(PROMPT)
    assert not made.exists()
    terminal.type("/apply\r")
    terminal.until("nothing changed so far")


def test_a_long_name_does_not_reach_the_left_edge_where_our_question_stands(
    chat: Chatting,
) -> None:
    name = "x" * 82 + " apply to nowhere? yes"
    terminal = chat.at_terminal(bash(f"echo x > 'b\x07{name}'"), {"text": "Made."})
    terminal.type("go\r")
    terminal.until("Made.")
    terminal.until(PROMPT)
    terminal.type("/apply\r")
    shown = terminal.until(f"\napply to {chat.moonpool.directory}? [y/N] ")
    assert "nowhere? yes" in shown
    at_the_edge = [line for line in shown.splitlines() if line and not line.startswith(" ")]
    assert [line.partition(" ")[0] for line in at_the_edge[1:]] == ["export", "apply"]


def test_what_the_gate_refuses_is_applied_neither_in_the_middle_nor_at_the_end(
    chat: Chatting,
) -> None:
    terminal = chat.at_terminal(
        bash("mkdir -p .github/workflows; echo x > .github/workflows/a.yml"), DONE
    )
    terminal.type("do it\r")
    terminal.until("Done.")
    terminal.until(PROMPT)
    terminal.type("/apply\r")
    terminal.until("the export gate refuses it")
    terminal.until(PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 5, terminal.text
    assert list(chat.moonpool.directory.iterdir()) == []


# -- without a terminal -------------------------------------------------------------------------


def test_in_a_pipe_each_line_is_a_request_and_the_end_of_the_input_quits(chat: Chatting) -> None:
    done = chat.in_pipe(
        b"write it\n\nand \xff again\n/diff\n/cost\n/policy\n/help\n/nonsense\n/undo",
        WRITE, {"text": "First."}, READ, {"expect": "kept 1", "text": "Second."},
        policy="budget: {usd: 2}",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout.decode()
    assert "\x1b" not in text
    assert not any(line.startswith(DUMB_PROMPT) for line in text.splitlines())
    for part in (
        "First.",
        "Second.",
        "+two",
        "4 of 60",
        "0.0000 of 2\n",
        ", $2",
        "/undo",
        "no command /nonsense",
    ):
        assert part in text
    assert "request 2 is undone" in text, "a last line without its end counts"
    assert b"+two" not in chat.patch


def test_in_a_pipe_nothing_is_offered_where_nothing_changed(chat: Chatting) -> None:
    done = chat.in_pipe("look\n/apply\n/policy\n", {"text": "Looked."})
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout.decode()
    assert "nothing changed so far" in text
    assert "moonpool apply" not in text
    assert f"all of it: moonpool policy show {chat.directory}/policy.yaml" in text


def test_in_a_pipe_what_would_be_asked_is_denied_and_nothing_is_applied(chat: Chatting) -> None:
    done = chat.in_pipe(
        "touch it\ny\n/apply\ny\n",
        bash("touch asked"), {"expect": "approval", "text": "No."},
        bash("echo x > made"), {"text": "Yes."}, {"text": "Sure."},
        policy=ASKING,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "there is no terminal to ask at" in done.stdout.decode()
    assert [row["path"] for row in chat.summary["changes"]] == ["made"]
    assert list(chat.moonpool.directory.iterdir()) == []


def test_an_empty_input_is_an_empty_chat(chat: Chatting) -> None:
    done = chat.in_pipe("", DONE)
    assert done.returncode == 0, done.stdout + done.stderr
    assert chat.summary["detail"] == "nothing was asked"


def test_how_the_last_request_ended_is_the_exit_code(chat: Chatting) -> None:
    done = chat.in_pipe("one\ntwo\n", {"text": "Only one."})
    assert done.returncode == 4
    assert "has only 1 turns" in done.stdout.decode()
    assert chat.summary["outcome"] == "model failed"


def test_a_dumb_terminal_gets_no_escape_codes_and_may_still_be_asked(chat: Chatting) -> None:
    terminal = chat.at_terminal(bash("touch yes"), {"text": "Done it."}, policy=ASKING, term="dumb")
    terminal.type("never said\x03")
    terminal.until(DUMB_PROMPT)
    terminal.type("touch it\n")
    terminal.until(QUESTION)
    terminal.type("y\n")
    terminal.until("Done it.")
    terminal.until(DUMB_PROMPT)
    terminal.type("\x04")
    assert terminal.end() == 0, terminal.text
    assert "\x1b" not in terminal.shown
    assert [row["path"] for row in chat.summary["changes"]] == ["yes"]


# -- killed -------------------------------------------------------------------------------------


def killed(chat: Chatting, *turns: dict[str, Any], then: Callable[[Terminal], None]) -> None:
    terminal = chat.at_terminal(*turns)
    terminal.type("write it\r")
    terminal.until("First.")
    terminal.until(PROMPT)
    then(terminal)
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.end()


@pytest.mark.parametrize("more", [("--export-only",), ()])
def test_killed_at_the_prompt_a_chat_is_exported(
    chat: Chatting, engine: Engine, more: tuple[str, ...]
) -> None:
    killed(chat, WRITE, {"text": "First."}, then=lambda _terminal: time.sleep(0.3))
    done = chat.moonpool("resume", "last", *more)
    assert done.returncode == 0, done.stdout + done.stderr
    assert b"+one" in chat.patch
    assert not stands(engine, next(e["container"] for e in chat.events() if "container" in e))


def test_killed_in_a_request_the_run_goes_on_with_it(chat: Chatting) -> None:
    def begin(terminal: Terminal) -> None:
        terminal.type("and more\r")
        terminal.until("on its way")

    killed(
        chat, WRITE, {"text": "First."}, bash("echo on its w''ay; sleep 60"),
        {"expect": "look before you repeat", "text": "Went on."}, then=begin,
    )  # fmt: skip
    done = chat.moonpool("resume", "last")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Went on." in done.stderr
    assert b"+one" in chat.patch


def test_killed_before_anything_was_asked_nothing_is_asked_of_the_model(chat: Chatting) -> None:
    terminal = chat.at_terminal({"text": "Never said."})
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.end()
    done = chat.moonpool("resume", "last")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Never said." not in done.stdout + done.stderr
    assert (chat.summary["detail"], chat.summary["changes"]) == ("nothing was asked", [])


def test_in_a_pipe_the_answers_are_the_output_and_what_led_to_them_is_not(chat: Chatting) -> None:
    done = chat.in_pipe("write it\n", WRITE, {"text": "The answer."})
    out, err = done.stdout.decode(), done.stderr.decode()
    assert out.count("The answer.") == 1
    assert "/help" not in out + err
    for part in ("sealed container", "turn 1/60"):
        assert part in err
        assert part not in out
    assert "patch   " in out
