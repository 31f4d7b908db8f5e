"""The whole way of a review over HTTP, with a real engine: from a run to an applied patch."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent.review.server.guard import CSRF_HEADER
from command_line.running import DONE, SCRIPT, Shell, bash
from fakes.model import saying
from sandbox.engine.docker import Engine
from sandbox.engine.images import reference
from sandbox.engine.values import LABEL_RUN
from waiting import WAIT_S

pytestmark = pytest.mark.usefixtures("image")

CODE = "".join(f"line {number}\n" for number in range(1, 31))
WORK = bash("sed -i -e 's/line 1$/LINE 1/' -e 's/line 30$/LINE THIRTY/' code.txt")
MEND = bash("sed -i -e 's/LINE THIRTY/LINE 30/' code.txt")
PAST = {"text": "past"}


class Browser:
    """A review's server in a process of its own, and a browser that came in."""

    def __init__(self, moonpool: Shell) -> None:
        self.process = subprocess.Popen(
            [str(SCRIPT), "review", "last", "--no-open"],
            cwd=moonpool.directory,
            env=moonpool.environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        found = re.search(r"http://\S+", self.process.stdout.readline())
        assert found is not None
        address = found[0]
        self.origin, self.base = re.findall(r"(http://[^/]+)(/[^/]+)", address)[0]
        self.client = httpx2.Client(timeout=WAIT_S)
        assert self.client.get(address).status_code == 200
        page = self.client.get(f"{self.origin}{self.base}/runs").text
        self.csrf = re.findall(r'name="csrf" content="([^"]+)"', page)[0]

    def get(self, path: str) -> httpx2.Response:
        return self.client.get(f"{self.origin}{self.base}/{path}")

    def post(self, path: str, **form: object) -> Any:
        headers = {"origin": self.origin, CSRF_HEADER: self.csrf}
        answer = self.client.post(f"{self.origin}{self.base}/{path}", headers=headers, json=form)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def marks(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"run/{run}/marks").json()
        return found

    def decide(self, run: str, *verdicts: tuple[int, int, str]) -> dict[str, Any]:
        marks = self.marks(run)
        form = {"patch": marks["patch"], "seen": marks["revision"], "verdicts": verdicts}
        found: dict[str, Any] = self.post(f"run/{run}/marks/decide", **form)
        return found

    def act(self, run: str, what: str, key: str, **form: object) -> None:
        marks = self.marks(run)
        seen = {"key": key, "patch": marks["patch"], "revision": marks["revision"]}
        self.post(f"run/{run}/decide/{what}", **seen, **form)

    def over(self, run: str) -> tuple[dict[str, Any], str]:
        """The action's state when it is over, and what came of it."""
        state = self.until(run, lambda state: bool(state["over"]))
        return state, self.get(f"run/{run}/action/result").text

    def until(self, run: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        before = time.monotonic()
        at, text, known = 0, "", ""
        while time.monotonic() - before < WAIT_S:
            asked = f"run/{run}/action?since={at}&id={known}"
            state: dict[str, Any] = self.get(asked).json()
            at, text, known = state["at"], text + state["text"], state["id"]
            state["text"] = text
            if holds(state):
                return state
        raise AssertionError(f"that did not come: {text}")

    def close(self) -> int:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        with self.process:
            return self.process.wait(WAIT_S)


@pytest.fixture
def run(moonpool: Shell, tmp_path: Path) -> Callable[[str], str]:
    def made(verify: str) -> str:
        (moonpool.directory / "code.txt").write_text(CODE)
        model = saying(tmp_path / "script.yaml", WORK, DONE)
        done = moonpool("run", "mend it", "-m", model, "--verify", verify)
        assert done.returncode == 0, done.stderr
        return max(path.name for path in (tmp_path / "state" / "runs").iterdir())

    return made


@pytest.fixture
def browser(moonpool: Shell) -> Iterator[Callable[[], Browser]]:
    opened: list[Browser] = []

    def made() -> Browser:
        opened.append(Browser(moonpool))
        return opened[-1]

    yield made
    for one in opened:
        one.close()


def ended(moonpool: Shell, run: str) -> dict[str, Any]:
    """The summary of a run that another process does, when it is over."""
    file = Path(moonpool.environ["MOONPOOL_HOME"]) / "runs" / run / "run.json"
    before = time.monotonic()
    while time.monotonic() - before < WAIT_S:
        found: dict[str, Any] = json.loads(file.read_text())
        if found["outcome"] != "running":
            return found
        time.sleep(0.1)
    raise AssertionError("it goes on and on")


@pytest.mark.slow
def test_from_a_run_to_what_is_applied(
    moonpool: Shell, run: Callable[[str], str], browser: Callable[[], Browser], tmp_path: Path
) -> None:
    first = run("echo checked; grep -q LINE code.txt")
    page = browser()
    page.decide(first, (1, 1, "accepted"), (1, 2, "rejected"))
    patch = page.marks(first)["patch"]
    said = {"file": 1, "side": "new", "line": 30, "text": "30, please"}
    page.post(f"run/{first}/marks/comment", patch=patch, **said)
    page.act(first, "apply", "one")
    state, came = page.over(first)
    assert "checked\n" in state["text"]
    assert "applied" in came, came
    code = moonpool.directory / "code.txt"
    assert code.read_text() == CODE.replace("line 1\n", "LINE 1\n")

    # The workspace is another one by now; what the run began with is kept.
    then = saying(tmp_path / "then.yaml", PAST, PAST, MEND, DONE)
    page.act(first, "send-back", "two", words="", model=then)
    state, came = page.over(first)
    second = state["run"]
    assert second, came
    summary = ended(moonpool, second)
    assert summary["outcome"] == "finished"
    assert summary["forked_from"]["run_id"] == first
    assert "- code.txt, line 30: 30, please" in summary["task"]
    assert "- code.txt: the hunk @@" in summary["task"]
    page.decide(second, (1, 1, "accepted"), (1, 2, "accepted"))
    page.act(second, "apply", "three", three_way=True)
    _, came = page.over(second)
    assert "applied" in came, came
    both = CODE.replace("line 1\n", "LINE 1\n").replace("line 30\n", "LINE 30\n")
    assert code.read_text() == both
    shown = moonpool("show", first).stdout
    assert "code.txt:1 of the patch put in" in shown
    assert f"sent back: run {second}" in shown


@pytest.mark.slow
@pytest.mark.parametrize("how", ["cancel", "end of the server"])
def test_a_check_that_runs_is_ended_and_leaves_nothing(
    moonpool: Shell,
    run: Callable[[str], str],
    browser: Callable[[], Browser],
    engine: Engine,
    how: str,
) -> None:
    # It takes its time only where nothing but the part is applied.
    run_id = run("echo begun; grep -q THIRTY code.txt || sleep 600")
    page = browser()
    page.decide(run_id, (1, 1, "accepted"))
    page.act(run_id, "apply", "one")
    page.until(run_id, lambda state: "begun" in state["text"])
    if how == "cancel":
        page.post(f"run/{run_id}/decide/cancel")
        _, came = page.over(run_id)
        assert "cancelled: nothing was changed" in came
    else:
        assert page.close() == 0
    assert (moonpool.directory / "code.txt").read_text() == CODE
    assert engine.containers(f"{LABEL_RUN}={run_id}") == []


@pytest.mark.slow
def test_what_can_not_be_checked_again_is_not_applied_without_a_reason(
    moonpool: Shell, run: Callable[[str], str], browser: Callable[[], Browser], engine: Engine
) -> None:
    # A tree of which no other test uses the copy.
    (moonpool.directory / "own.txt").write_text(str(moonpool.directory))
    run_id = run("true")
    record = Path(moonpool.environ["MOONPOOL_HOME"]) / "runs" / run_id / "events.jsonl"
    ready = next(
        row
        for row in map(json.loads, record.read_text().splitlines())
        if row["event"] == "sandbox_ready"
    )
    engine.remove_image(reference(ready["container_state"]["snapshot_key"]))
    (moonpool.directory / "another.txt").write_text("new\n")
    page = browser()
    page.decide(run_id, (1, 1, "accepted"))
    page.act(run_id, "apply", "one")
    _, came = page.over(run_id)
    assert "its check could not be run" in came
    assert "keeps no copy" in came
    code = moonpool.directory / "code.txt"
    assert code.read_text() == CODE
    page.act(run_id, "apply", "two", unverified=True, reason="I read it")
    _, came = page.over(run_id)
    assert "applied" in came
    assert code.read_text() == CODE.replace("line 1\n", "LINE 1\n")
    (kept,) = map(json.loads, record.with_name("decisions.jsonl").read_text().splitlines())
    assert (kept["verified"], kept["reason"]) == (False, "I read it")
