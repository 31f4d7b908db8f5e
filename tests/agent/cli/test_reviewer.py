"""A second opinion from the command line: asked for, demanded, and what a person does with it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line.running import Going, Shell, Start, bash, patch, stands
from fakes.model import saying
from sandbox.engine.docker import Engine
from standins.anthropic.server import StandIn
from standins.exchange.replies import Break, Call, How, answer
from waiting import until

Scripted = Callable[..., str]
MADE = (bash("echo made > made.txt"), {"text": "Done."})


def opinion(verdict: str, *concerns: dict[str, Any]) -> dict[str, Any]:
    given = {"verdict": verdict, "reason": "I looked.", "concerns": concerns, "missed": []}
    return {"calls": [{"tool": "give_opinion", "arguments": given}]}


LOOK = {"calls": [{"tool": "read_file", "arguments": {"path": "made.txt"}}]}
FOUND = {"concern": "made of nothing", "file": "made.txt", "line": 1}


@pytest.fixture
def scripted(tmp_path: Path) -> Scripted:
    """A model that says these turns."""
    return lambda name, *turns: saying(tmp_path / f"{name}.yaml", *turns)


def policy(tmp_path: Path, name: str, *lines: str) -> str:
    path = tmp_path / f"{name}.yaml"
    path.write_text("\n".join(["version: 1", f"name: {name}", *lines, ""]))
    return str(path)


@pytest.mark.parametrize(
    ("reviewer", "words", "code"),
    [
        ("anthropic:claude-opus-5-5", "set ANTHROPIC_API_KEY", 4),
        ("nobody:claude-opus-5-5", "is not a model", 2),
    ],
)
def test_a_reviewer_that_can_not_be_asked_ends_as_a_model_that_can_not(
    moonpool: Shell, scripted: Scripted, reviewer: str, words: str, code: int
) -> None:
    done = moonpool("run", "x", "-m", scripted("agent", *MADE), "--reviewer", reviewer)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr


@pytest.mark.slow
def test_a_patch_that_a_reviewer_rejects_is_kept_back_until_a_person_takes_it(
    moonpool: Shell, tmp_path: Path, scripted: Scripted, engine: Engine
) -> None:
    (moonpool.directory / "repo").mkdir()
    strict = policy(tmp_path, "strict", "extends: default", "review: {require: approve}")
    agent = scripted("agent", *MADE)
    reviewer = scripted("reviewer", LOOK, {"expect": "made", **opinion("reject", FOUND)})
    order = ("run", "x", "-w", "repo", "-p", strict, "-m", agent)
    unnamed = moonpool(*order)
    assert (unnamed.returncode, "say --reviewer MODEL" in unnamed.stderr) == (2, True)
    done = moonpool(*order, "--reviewer", reviewer, "-o", str(tmp_path / "out"))
    assert done.returncode == 5, done.stderr
    for words in (
        ": reject: I looked.",
        "made.txt:1: made of nothing",
        "--accept-risk not-approved --because TEXT",
    ):
        assert words in done.stdout
    assert "moonpool apply -i" not in done.stdout
    # Nothing that takes the usual name takes it.
    assert {path.name for path in (tmp_path / "out").glob("*.diff")} == {"patch.refused.diff"}
    shown = moonpool("show", "last").stdout
    assert "made.txt:1: made of nothing" in shown
    kept = moonpool("apply", "last")
    assert (kept.returncode, "no reviewer approved" in kept.stderr) == (5, True)
    part = moonpool("apply", "last", "--hunks", "made.txt")
    assert (part.returncode, "not-approved" in part.stderr) == (5, True)
    assert not (moonpool.directory / "repo" / "made.txt").exists()
    taken = moonpool("apply", "last", "--accept-risk", "not-approved", "--because", "I read it")
    assert taken.returncode == 0, taken.stderr
    assert (moonpool.directory / "repo" / "made.txt").read_text() == "made\n"
    replayed = moonpool("replay", "last", "-w", str(_emptied(moonpool)))
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    verified = moonpool("verify", "last")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _emptied(moonpool: Shell) -> Path:
    (moonpool.directory / "repo" / "made.txt").unlink()
    return moonpool.directory / "repo"


def test_a_ceiling_demands_an_opinion_that_no_policy_drops(
    moonpool: Shell, tmp_path: Path, scripted: Scripted, engine: Engine
) -> None:
    (moonpool.directory / "repo").mkdir()
    reviewer = scripted("strict", opinion("unsure"))
    easy = scripted("easy", opinion("approve"))
    # A file with a colon and quotes is no name in YAML by itself.
    ceiling = policy(
        tmp_path, "ceiling", f"review: {{model: {json.dumps(reviewer)}, require: approve}}"
    )
    loose = policy(
        tmp_path,
        "loose",
        "extends: default",
        f"review: {{model: {json.dumps(easy)}, require: null}}",
    )
    agent = scripted("agent", *MADE)
    done = moonpool(
        *("run", "x", "-w", "repo", "-p", loose, "--ceiling", ceiling),
        *("--reviewer", easy, "-m", agent),
    )
    assert done.returncode == 5, done.stderr
    assert "review.require nothing becomes approve" in done.stderr
    assert "unsure" in done.stdout


REVIEWER = "anthropic:claude-opus-5-5"
ASKED = f'review: {{model: "{REVIEWER}", require: approve}}'


@pytest.mark.slow
def test_killed_while_an_opinion_is_awaited_it_is_asked_for_again(
    start: Start, engine: Engine
) -> None:
    with StandIn() as api:
        env = {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": api.key}
        going = _killed_in_the_review(start, api, env)
        assert stands(engine, going.container)
        going.moonpool.environ |= env
        approval = opinion("approve")["calls"][0]
        api.queue(answer(Call(approval["tool"], approval["arguments"])))
        code, summary, err = going.resume()
    assert (code, summary["outcome"]) == (0, "finished"), err
    assert summary["opinion"]["verdict"] == "approve"
    assert b"+made\n" in patch(summary)
    assert api.requests[-1].fault is None
    assert len(api.requests[-1].body["messages"]) == 1, "it begins again"
    rows = map(json.loads, (going.directory / "events.jsonl").read_text().splitlines())
    kinds = [row["event"] for row in rows]
    assert (kinds.count("review_started"), kinds.count("opinion_given")) == (2, 1)
    assert not stands(engine, going.container)


@pytest.mark.slow
def test_killed_while_an_opinion_is_awaited_and_only_exported_it_is_not_approved(
    start: Start, engine: Engine
) -> None:
    with StandIn() as api:
        env = {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": api.key}
        going = _killed_in_the_review(start, api, env)
    assert going.moonpool("apply", "last").returncode != 0
    code, summary, _ = going.resume("--export-only")
    assert (code, summary["opinion"]["reason"]) == (5, "the run was only exported")
    assert going.moonpool("apply", "last").returncode == 5


def _killed_in_the_review(start: Start, api: StandIn, env: dict[str, str]) -> Going:
    api.queue(
        answer(Call("read_file", {"path": "made.txt"})),
        Break(How.HANG, before="message_stop"),
    )
    going = start(*MADE, policy=ASKED, env=env)
    going.until("reviewer_called")
    until(lambda: len(api.requests) > 1, process=going.process)
    going.kill()
    return going


def test_in_a_batch_each_run_has_its_opinion(
    moonpool: Shell, tmp_path: Path, scripted: Scripted, engine: Engine
) -> None:
    (moonpool.directory / "repo").mkdir()
    agent = scripted("agent", *MADE)
    reviewer = scripted("reviewer", opinion("reject"))
    tasks = tmp_path / "tasks.yaml"
    tasks.write_text(json.dumps([{"id": "a", "task": "x", "workspace": "work/repo"}]))
    done = moonpool(
        *("batch", "run", str(tasks), "-o", str(tmp_path / "out"), "-m", agent),
        *("--reviewer", reviewer),
    )
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, (tmp_path / "out" / "results.jsonl").read_text().splitlines())
    assert (row["outcome"], row["opinion"]) == ("finished", "reject")
    assert row["worst_finding"] == "danger"
