"""``server_tools`` over a run: refused before it where they can't be, said wherever one looks."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from agent.errors import UsageError
from agent.models.interface import AssistantMessage, Opaque, Reply, StopReason, Text, Usage
from agent.models.open_model import Host
from agent.models.server_tool_rules import refuse_what_cannot_be
from agent.past_runs.policy_usage import policy_usage
from agent.record.events.conversation import ModelReplied
from agent.record.events.kinds import served_in_words
from agent.record.runs import RecordedRun
from agent.review.pages.report import render
from agent.terminal.progress import Display
from agent.terminal.result import print_result
from agent.terminal.screen import Screen
from fakes.model import ToldModel, say
from fakes.runs import FakeRun
from policies.policy import SERVER_TOOLS, Policy

HOSTILE = "web_search: \x1b[2J<b>\u202e key"


def lists(policy: Policy, *tools: str, usd: float | None = None) -> Policy:
    return replace(policy, server_tools=tools, budget=replace(policy.budget, usd=usd))


@pytest.mark.parametrize("model", ["openai:gpt", "script:a.yaml", "told:test", ""])
def test_a_service_without_them_is_refused_before_the_run(policy: Policy, model: str) -> None:
    with pytest.raises(UsageError, match="take them out"):
        refuse_what_cannot_be(lists(policy, "web_search"), model)
    refuse_what_cannot_be(lists(policy), model)


@pytest.mark.parametrize("host", [Host.BEDROCK, Host.VERTEX])
def test_a_cloud_runs_none_of_them(policy: Policy, host: Host) -> None:
    for tool in SERVER_TOOLS:
        with pytest.raises(UsageError, match=f"on {host.value} have none of these"):
            refuse_what_cannot_be(lists(policy, tool), "anthropic:claude-opus-5-5", host)
    refuse_what_cannot_be(lists(policy), "anthropic:claude-opus-5-5", host)


def test_what_costs_by_the_piece_is_refused_under_a_budget_of_dollars(policy: Policy) -> None:
    for tool in ("web_search", "code_execution"):
        with pytest.raises(UsageError, match=r"budget\.usd"):
            refuse_what_cannot_be(lists(policy, tool, usd=5), "anthropic:claude-opus-5-5")
        refuse_what_cannot_be(lists(policy, tool), "anthropic:claude-opus-5-5")
    refuse_what_cannot_be(lists(policy, "web_fetch", usd=5), "anthropic:claude-opus-5-5")


def test_the_responses_api_has_all_of_them_but_fetches_only_as_a_part_of_its_search(
    policy: Policy,
) -> None:
    refuse_what_cannot_be(lists(policy, *SERVER_TOOLS), "responses:gpt-5.4")
    refuse_what_cannot_be(lists(policy, "web_search"), "responses:gpt-5.4", Host.GATEWAY)
    with pytest.raises(UsageError, match="lists server_tools web_fetch without web_search"):
        refuse_what_cannot_be(lists(policy, "web_fetch"), "responses:gpt-5.4")
    with pytest.raises(UsageError, match=r"budget\.usd"):
        refuse_what_cannot_be(lists(policy, "web_search", usd=5), "responses:gpt-5.4")


def test_the_words_name_each_of_them() -> None:
    assert served_in_words(()) == ""
    assert served_in_words(["teleport"]) == "", "a record from elsewhere may name it"
    assert served_in_words(["web_search"], could="could") == (
        "the model could search the web: text can leave this way"
    )
    words = served_in_words(SERVER_TOOLS)
    assert "search the web, fetch pages from the web and run code on" in words


def searched() -> Reply:
    raw = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    block = Opaque(provider="anthropic", raw=raw, server_side=HOSTILE)
    done = say("Done.")
    return replace(done, message=AssistantMessage(blocks=(block, *done.message.blocks)))


def test_terminal_report_and_summary_say_that_text_could_leave(
    tmp_path: Path, policy: Policy
) -> None:
    out = StringIO()
    console = Screen(out)
    display = Display(console)
    fake = FakeRun(home=tmp_path, policy=lists(policy, "web_search"), also=display.show)
    summary = fake.go(ToldModel(searched()))
    live = out.getvalue()
    assert "the model can search the web: text can leave this way" in live
    assert "run by the model's service: web_search: \\x1b[2J<b>\\u202e key" in live
    page = render(summary, fake.log)
    assert page.index("could search the web: text can leave") < page.index("<h1>")
    assert "run by the model&#39;s service: web_search: \\x1b[2J&lt;b&gt;" in page
    directory = fake.record.directory
    run = RecordedRun(id=fake.record.run_id, directory=directory, summary=summary.document)
    print_result(console, run)
    assert "the model could search the web" in out.getvalue()


def test_without_them_nothing_is_said(tmp_path: Path, policy: Policy) -> None:
    out = StringIO()
    display = Display(Screen(out))
    fake = FakeRun(home=tmp_path, policy=policy, also=display.show)
    summary = fake.go(ToldModel(say("Done.")))
    assert "text can leave" not in out.getvalue() + render(summary, fake.log)


def test_what_the_service_ran_is_learned_from_the_record() -> None:
    def event(raw: dict[str, object]) -> ModelReplied:
        return replied(Opaque(provider="p", raw=raw))

    def replied(block: Opaque) -> ModelReplied:
        blocks = (block, Text(text="x"))
        reply = Reply(
            message=AssistantMessage(blocks=blocks), stop=StopReason.END_TURN, usage=Usage()
        )
        return ModelReplied(turn=1, reply=reply, seconds=0, used=Usage(), usd=None)

    names = ["web_fetch", "bash_code_execution", "web_fetch", None, ["x"]]
    told = [event({"type": "server_tool_use", "name": name}) for name in names]
    raw = {"type": "web_search_call", "action": {"type": "open_page"}}
    searched = Opaque(provider="responses", raw=raw, server_side="web_fetch: https://a.example")
    assert policy_usage([replied(searched)], include_refused=False).server_tools == ("web_fetch",)
    found = policy_usage(told, include_refused=False)
    assert found.server_tools == ("web_fetch", "code_execution")
    assert (
        policy_usage([event({"name": "bash"}), event({})], include_refused=False).server_tools == ()
    )
