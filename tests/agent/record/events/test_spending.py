"""What a run costs is said while it runs, in its summary, in its report and in `show`."""

import io
import json
import re
from pathlib import Path

import pytest

from agent.models.interface import Usage
from agent.models.pricing import ModelInfo, Prices, Rates
from agent.record.events.conversation import (
    HistorySummarised,
    ModelReplied,
    ResultsCleared,
    ResultsShortened,
)
from agent.record.events.kinds import BudgetUsed, Event, spending_in_words, tokens_in_words
from agent.record.runs import RecordedRun
from agent.review.pages.report import render
from agent.terminal.progress import Display
from agent.terminal.result import print_result
from agent.terminal.screen import Screen
from fakes.conversation import with_budget
from fakes.model import ToldModel, call, say
from fakes.runs import FakeRun
from policies.policy import Policy

FACTS = ModelInfo(
    prices=Prices(usual=Rates(input=10, output=50, cache_write=12.5, cache_read=1)),
    context_tokens=200_000,
    source="the list of today, seen 2026-11-21",
)
USAGE = Usage(input_tokens=1000, cache_read_tokens=9000, output_tokens=100)


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    return FakeRun(home=tmp_path, policy=with_budget(policy, usd=5), facts=FACTS)


def shown(*events: Event) -> str:
    out = io.StringIO()
    display = Display(Screen(out))
    for event in events:
        display.show(event)
    return out.getvalue()


def test_the_summary_says_what_it_cost_and_by_which_list(fake: FakeRun) -> None:
    summary = fake.go(ToldModel(call("bash", command="echo x"), say("Done.", usage=USAGE)))
    document = summary.document.json_object()
    assert document["usd"] == pytest.approx(0.024)
    assert document["usd_source"] == FACTS.source
    assert json.loads(fake.lines[-1])["usd"] == pytest.approx(0.024)
    html = render(summary, fake.log)
    assert "0.0240 of 5" in html
    assert FACTS.source in html
    out = io.StringIO()
    run = RecordedRun(
        id=fake.record.run_id, directory=fake.record.directory, summary=summary.document
    )
    print_result(Screen(out), run)
    assert "$0.0240 (by the list of today" in out.getvalue()


def test_where_no_price_is_known_nothing_is_said_of_dollars(fake: FakeRun, policy: Policy) -> None:
    fake.facts, fake.policy = ModelInfo(), policy
    summary = fake.go(ToldModel(say("Done.", usage=USAGE)))
    document = summary.document.json_object()
    assert document["usd"] is None
    assert document["usd_source"] is None
    assert "dollars" not in render(summary, fake.log)


def test_what_is_left_is_shown_after_each_answer(fake: FakeRun) -> None:
    fake.go(ToldModel(call("bash", command="echo x"), say("Done.", usage=USAGE)))
    text = shown(*fake.log)
    assert sum(isinstance(event, ModelReplied) for event in fake.log) == 2
    assert "turn 1/60" in text
    assert "turn 2/60, 10.0k in (90% cached) and 100 out, $0.0240 of $5" in text
    assert re.search(r"of \$5, \d+ (h|min)( \d\d (min|s))? left", text)
    # It is for the screen: the record has what it is made of.
    assert not any(json.loads(line)["event"] == "budget_used" for line in fake.lines)


def test_room_that_was_made_is_told_to_the_operator() -> None:
    used = Usage()
    text = shown(
        ResultsShortened(reply=1, most_bytes=900),
        ResultsCleared(through=2, bare=3, tokens_before=151_738, tokens_after=29_709),
        HistorySummarised(
            through=2, bare=3, block=None, notes="\x1b[31mred", orders=(), author="nobody",
            usage=used, used=used, usd=None, tokens_before=151_738, tokens_after=950,
        ),
    )  # fmt: skip
    assert "900 bytes of each" in text
    assert "151.7k tokens became 29.7k" in text
    assert "a list of the calls stands in" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0"), (999, "999"), (34_512, "34.5k"), (999_960, "1.0M"), (10**9, "1000.0M")],
)
def test_tokens_are_told_short(count: int, words: str) -> None:
    assert tokens_in_words(count) == words


def test_a_model_that_costs_nothing_shows_no_dollars() -> None:
    event = BudgetUsed(
        turns=1, turns_allowed=9, used=Usage(),
        usd=0.0, usd_allowed=None, left_s=30.0,
    )  # fmt: skip
    assert spending_in_words(event) == "turn 1/9, 30 s left"
