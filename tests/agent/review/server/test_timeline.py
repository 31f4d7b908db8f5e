"""What happened, and what happens while the run goes on."""

import re
import threading
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from agent.models.interface import Reply, Request
from agent.record.store import runs_directory
from fakes.box import TmpBox
from fakes.model import call, say
from fakes.reviews import FakeReview, recorded
from fakes.runs import FakeRun
from policies.policy import Policy


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    return FakeRun(home=tmp_path, policy=policy, files={"a.py": b"one\n"})


@pytest.fixture
def browser(tmp_path: Path) -> TestClient:
    return FakeReview(home=tmp_path).browser()


STEPS = (
    call("bash", command="cat a.py"),
    call("bash", command="curl example.org"),
    call("bash", command="false"),
    say("I am <b>done</b>."),
)


def test_it_tells_turns_calls_denials_and_failures(fake: FakeRun, browser: TestClient) -> None:
    run = recorded(fake, *STEPS)
    page = browser.get(f"run/{run}/timeline").text
    styles = re.findall(r'<li class="(\w+)', page)
    assert styles.count("turn") == 4
    assert {"asked", "ok", "denied", "failed", "said"} <= set(styles)
    assert "I am &lt;b&gt;done" in page
    assert f"/run/{run}/call/1" in page
    assert "data-live" not in page


def test_what_a_run_does_arrives_while_it_goes_on(fake: FakeRun, browser: TestClient) -> None:
    held, may_go_on = threading.Event(), threading.Event()

    def wait() -> None:
        held.set()
        assert may_go_on.wait(30)

    fake.before_open = wait
    worker = threading.Thread(target=recorded, args=(fake, *STEPS))
    worker.start()
    assert held.wait(30)
    run = fake.record.run_id
    page = browser.get(f"run/{run}/timeline").text
    (address,) = re.findall(r'data-live="[^"]*?/(run/[^"]+)"', page)
    assert "<li " not in page
    may_go_on.set()
    stream = browser.get(address).text
    worker.join()
    assert stream.rstrip().endswith("data: the run has ended")
    assert "event: rows" in stream
    assert "curl example.org" in stream
    after = len(re.findall("<li ", browser.get(f"run/{run}/timeline").text))
    assert len(re.findall("<li ", stream)) == after > 0


def test_while_no_gate_has_looked_every_secret_is_hidden(
    fake: FakeRun, browser: TestClient
) -> None:
    secret = "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345"
    fake.files = {"a.py": f"one {secret}\n".encode()}
    read = call("read_file", path="a.py")
    held, may_go_on = threading.Event(), threading.Event()

    def wait(_: Request) -> Reply:
        held.set()
        assert may_go_on.wait(30)
        return say(f"It is {secret}.")

    worker = threading.Thread(target=recorded, args=(fake, read, wait))
    worker.start()
    assert held.wait(30)
    run = fake.record.run_id
    first = browser.get(f"run/{run}/call/1").text
    may_go_on.set()
    stream = browser.get(f"run/{run}/events").text
    worker.join()
    for shown in (first, stream):
        assert secret not in shown
        assert "••••" in shown


def test_a_run_without_a_patch_for_a_gate_to_look_at_hides_every_secret(
    fake: FakeRun, browser: TestClient
) -> None:
    secret = "ghp_" + "0123456789abcdefghijABCDEFGHIJ012345"
    fake.box = TmpBox(files={"a.py": f"one {secret}\n".encode()})
    fake.box.failures |= {"export": KeyError("oops"), "export_tracked": KeyError("and again")}
    run = recorded(fake, call("read_file", path="a.py"), say(f"It is {secret}."))
    fake.box.close()
    files = (runs_directory(fake.home) / run / name for name in ("report.html", "trajectory.json"))
    for shown in (
        browser.get(f"run/{run}/timeline").text,
        *(it.read_text("utf-8") for it in files),
    ):
        assert secret not in shown
        assert "It is •" in shown or "It is \\u2022" in shown


def test_a_client_that_was_cut_off_goes_on_where_it_was(fake: FakeRun, browser: TestClient) -> None:
    run = recorded(fake, *STEPS)
    whole = browser.get(f"run/{run}/events").text
    numbers = [int(number) for number in re.findall(r"id: (\d+)", whole)]
    rest = browser.get(f"run/{run}/events", headers={"last-event-id": str(numbers[3])}).text
    assert [int(number) for number in re.findall(r"id: (\d+)", rest)] == numbers[4:]


def test_a_line_that_is_no_event_ends_the_stream_with_words(
    fake: FakeRun, browser: TestClient
) -> None:
    run = recorded(fake, *STEPS)
    with (runs_directory(fake.home) / run / "events.jsonl").open("a") as file:
        file.write('{"event": "<script>"}\n')
    stream = browser.get(f"run/{run}/events").text
    assert "event: fault" in stream
    assert "event: over" not in stream
    page = browser.get(f"run/{run}/timeline").text
    assert 'class="alarm"' in page
