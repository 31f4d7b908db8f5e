"""The log of a run: what a person needs when something went wrong, and nothing that acts."""

import logging
import stat
import warnings
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.errors import ModelBilling
from agent.record import run_log
from agent.record.events.conversation import ModelRetry
from agent.record.events.kinds import Event, OutputPiece, Progress, TextPiece
from agent.record.events.lifecycle import Notice
from agent.record.run_log import OWN, RunLog
from fakes.model import ToldModel, call, calls, say
from fakes.runs import FakeRun
from policies.policy import Policy

SECRET = "s3cret-of-the-operator"
NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)


def open_log(directory: Path) -> RunLog:
    return RunLog(
        directory, redact=lambda text: text.replace(SECRET, "[redacted]"), clock=lambda: NOW
    )


def text(directory: Path) -> str:
    return (directory / "run.log").read_text()


def logged(tmp_path: Path, policy: Policy, model: ToldModel, task: str = "mend it") -> str:
    """The log of a run with a fake box."""
    fake = FakeRun(home=tmp_path, policy=policy, files={"calc.py": b"one\n"})
    with RunLog(tmp_path, redact=lambda text: text) as log:
        fake.also = log.show
        fake.go(model, task=task)
    return text(tmp_path)


def test_each_step_is_a_line_with_time_level_and_what(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.show(Progress(text="building the image python"))
        log.show(ModelRetry(reason="529 overloaded", wait_s=1.25, attempt=2))
        log.show(Notice(text="the engine does not answer"))
    assert text(tmp_path) == (
        "2026-11-21T10:15:00.000Z INFO    building the image python\n"
        "2026-11-21T10:15:00.000Z WARNING attempt 2 failed: 529 overloaded; again in 1.2 s\n"
        "2026-11-21T10:15:00.000Z WARNING the engine does not answer\n"
    )


def test_a_run_can_be_followed_in_it(tmp_path: Path, policy: Policy) -> None:
    write = call("write_file", path="new.txt", content="made\n")
    odd = calls(("bash", {"command": "exit 3"}), ("bash", {"command": "curl x"}))
    lines = logged(tmp_path, policy, ToldModel(write, odd, say("done"))).splitlines()
    for number, words in enumerate(
        (
            "INFO    run ", "mend it", "INFO    container ", "INFO    told the model: mend it",
            "turn 1: the model is asked, with 1 messages", "turn 1: tool_use after",
            "call 1: write new.txt", "call 1: 1 lines after", "call 2: $ exit 3",
            "call 2: exit 3 after",
            "WARNING call 3: denied: $ curl x: Denied", "turn 3: end_turn",
            "the agent ended: finished: done", "patch of 1 files", "ended: finished",
        )
    ):  # fmt: skip
        assert any(words in line for line in lines), (number, words, lines)


def test_a_defect_of_ours_stands_in_it_with_its_traceback(tmp_path: Path, policy: Policy) -> None:
    log = logged(tmp_path, policy, ToldModel(KeyError("\x1b[31moops")))
    assert "ERROR   moonpool: a defect of Moonpool at model.py" in log
    assert "  | Traceback (most recent call last):" in log
    assert "loop.py" in log
    assert "\x1b" not in log


def test_an_error_of_the_service_is_a_line_without_one(tmp_path: Path, policy: Policy) -> None:
    log = logged(tmp_path, policy, ToldModel(ModelBilling("402: top up the account")))
    assert "WARNING the agent ended: model failed: 402: top up the account" in log
    assert "Traceback" not in log


def test_hostile_text_is_one_line_and_does_not_act(tmp_path: Path) -> None:
    hostile = "x\n2026-11-21T10:15:00.000Z ERROR   forged\r\x1b[2J\u202e"
    with open_log(tmp_path) as log:
        log.show(Notice(text=hostile + "\udc80"))
        logging.getLogger("docker.api").warning("said %s", hostile)
        try:
            raise ValueError(hostile)
        except ValueError as error:
            log.failed(hostile, error)
    lines = text(tmp_path).splitlines()
    assert all(line.isprintable() for line in lines), lines
    assert not any(line.startswith("2026-11-21T10:15:00.000Z ERROR   forged") for line in lines)
    assert all(line.startswith(("2026-11-21T", "  | ")) for line in lines)


def test_secrets_are_taken_out_wherever_they_come_from(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        log.show(Notice(text=f"a {SECRET}"))
        logging.getLogger("httpx").error("to %s", {"key": SECRET})
        try:
            raise ValueError(SECRET)
        except ValueError:
            OWN.exception("with %s", SECRET)
    assert SECRET not in text(tmp_path)
    assert text(tmp_path).count("[redacted]") >= 4


@pytest.fixture
def _no_capture() -> None:
    """Another test's log may have been left open in this process: a killed run's, for one."""
    logging.captureWarnings(False)


@pytest.mark.usefixtures("_no_capture")
def test_what_libraries_warn_of_goes_there_and_not_to_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with open_log(tmp_path):
        for name in ("docker.utils", "anthropic._base_client", "httpx", "opentelemetry.sdk"):
            logging.getLogger(name).warning("careful")
            logging.getLogger(name).info("not this")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("an old way", DeprecationWarning, stacklevel=1)
    assert "WARNING docker.utils: careful" in text(tmp_path)
    assert "WARNING opentelemetry.sdk: careful" in text(tmp_path)
    assert "DeprecationWarning: an old way" in text(tmp_path)
    assert "not this" not in text(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_nothing_is_logged_once_it_is_closed(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        pass
    handlers = logging.getLogger().handlers
    assert not any(isinstance(handler, run_log._Handler) for handler in handlers)
    log.show(Notice(text="late"))
    assert text(tmp_path) == ""


def test_it_is_bounded_and_what_goes_wrong_still_has_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_log, "LARGEST_BYTES", 20_000)
    monkeypatch.setattr(run_log, "_RESERVE_BYTES", 5_000)
    with open_log(tmp_path) as log:
        for number in range(2_000):
            log.show(Progress(text=f"step {number}"))
        log.show(Notice(text="after that"))
        for number in range(2_000):
            log.show(Notice(text=f"warning {number} " + "x" * 5_000))
    lines = text(tmp_path).splitlines()
    assert (tmp_path / "run.log").stat().st_size <= 25_000
    assert sum("the log is full" in line for line in lines) == 1
    assert any("after that" in line for line in lines)
    assert max(len(line) for line in lines) < 2_100


def test_it_is_for_its_owner_only_and_no_link_is_followed(tmp_path: Path) -> None:
    with open_log(tmp_path):
        pass
    assert stat.S_IMODE((tmp_path / "run.log").stat().st_mode) == 0o600
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.log").symlink_to(elsewhere)
    with open_log(tmp_path / "other") as log:
        log.show(Notice(text="x"))
    assert not elsewhere.exists()


def test_a_log_that_can_not_be_written_ends_no_run(tmp_path: Path, policy: Policy) -> None:
    with RunLog(tmp_path / "gone", redact=lambda text: text) as log:
        fake = FakeRun(home=tmp_path, policy=policy)
        fake.also = log.show
        assert fake.go(ToldModel(say("done"))).exit_code == 0


def test_a_second_process_of_the_run_goes_on_behind_the_first(tmp_path: Path) -> None:
    for words in ("one", "two"):
        with open_log(tmp_path) as log:
            log.show(Notice(text=words))
    assert [line[-3:] for line in text(tmp_path).splitlines()] == ["one", "two"]


@pytest.mark.parametrize("event", [TextPiece(text="x"), OutputPiece(stream="stdout", data=b"x")])
def test_what_streams_past_is_not_logged(tmp_path: Path, event: Event) -> None:
    with open_log(tmp_path) as log:
        log.show(event)
    assert text(tmp_path) == ""


def test_an_odd_message_of_a_library_ends_nothing(tmp_path: Path) -> None:
    with open_log(tmp_path) as log:
        odd = logging.LogRecord("docker", logging.WARNING, "", 0, "%d", ("no number",), None)
        log._handler.handle(odd)
    assert "a message that can't be told: TypeError" in text(tmp_path)
