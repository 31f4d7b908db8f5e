"""A dollar budget from the command line to the patch: a real container, the real SDK, a stand-in
for the service."""

import json
from pathlib import Path

import pytest

from command_line.running import Shell, Start, patch
from fakes.services import SERVICES, ProviderService
from standins.anthropic.server import StandIn
from standins.exchange.replies import Break, Call, How, answer
from waiting import until

WRITE = Call("write_file", {"path": "made.txt", "content": "by the agent\n"})


@pytest.fixture
def policy(moonpool: Shell) -> Path:
    (moonpool.directory / "readme.txt").write_text("A small project.\n")
    return moonpool.directory.parent / "mine.yaml"


def budget(policy: Path, usd: float) -> None:
    policy.write_text(f"version: 1\nname: mine\nextends: default\nbudget: {{usd: {usd}}}\n")


@pytest.mark.usefixtures("image")
def test_a_run_says_what_it_cost_while_it_runs_and_afterwards(
    moonpool: Shell, policy: Path
) -> None:
    budget(policy, 5)
    with StandIn() as api:
        api.queue(answer(WRITE), answer("Done."))
        env = {"ANTHROPIC_API_KEY": api.key, "ANTHROPIC_BASE_URL": api.url}
        command = ("run", "x", "-p", str(policy), "-m", "anthropic:claude-opus-5-5")
        done = moonpool(*command, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "turn 2/60" in done.stderr
    assert " of $5, " in done.stderr
    summary = json.loads(
        next((moonpool.directory.parent / "state").glob("runs/*/run.json")).read_text()
    )
    assert 0 < summary["usd"] < 0.1
    assert "opus-5-5" in summary["usd_source"]
    assert f"${summary['usd']:.4f} (by " in moonpool("show", "last").stdout


@pytest.mark.usefixtures("image")
def test_a_run_out_of_money_ends_with_1_and_its_patch(moonpool: Shell, policy: Path) -> None:
    budget(policy, 0.05)
    with StandIn() as api:
        api.queue(answer(WRITE), *[answer(Call("read_file", {"path": "readme.txt"}))] * 40)
        env = {"ANTHROPIC_API_KEY": api.key, "ANTHROPIC_BASE_URL": api.url}
        done = moonpool(
            "run", "x", "--json", "-p", str(policy), "-m", "anthropic:claude-opus-5-5", env=env
        )
        assert api.requests[-1].body["max_tokens"] < 2500
    assert done.returncode == 1, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["outcome"] == "limit: dollars"
    assert "budget.usd" in summary["detail"]
    assert 0.02 < summary["usd"] <= 0.05
    assert b"by the agent" in Path(summary["patch"]).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.provider)
def test_a_call_in_which_a_run_was_killed_is_paid_for_when_it_is_taken_up(
    start: Start, service: ProviderService
) -> None:
    with service.stand_in() as api:
        api.queue(
            answer(Call("bash", {"command": "echo made > made"})),
            Break(How.HANG, before=service.kinds[1], answer=answer("It begins. " * 9)),
        )
        env = service.environ(api)
        # It pays for one answer of the second call, and that is all of it.
        going = start(model=service.model, env=env, policy="budget: {output_tokens: 2000}")
        going.until("call_ended")
        going.until("model_called")
        until(lambda: len(api.requests) > 1, process=going.process)
        going.kill()
        going.moonpool.environ |= env
        code, summary, err = going.resume()
        assert (code, summary["outcome"]) == (1, "limit: output tokens"), err
        assert len(api.requests) == 2
        assert b"+made" in patch(summary)
