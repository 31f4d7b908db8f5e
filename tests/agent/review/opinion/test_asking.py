"""A second opinion: what is asked, what counts as an answer, and what comes of none."""

import json
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from agent import exit_codes
from agent.batch import failure
from agent.errors import ModelBilling, ModelError, ModelRefusedRequest, ModelUnavailable
from agent.models.interface import Reply, Request, StopReason, Usage
from agent.models.pricing import ModelInfo, Prices, Rates
from agent.record.events.kinds import Event
from agent.record.events.lifecycle import (
    OpinionGiven,
    ReviewerCalled,
    ReviewerReplied,
    ReviewStarted,
)
from agent.record.outcome import ExportRefused, Finished, Interrupted, LimitReached, NotVerified
from agent.record.summary import RunResult
from agent.record.trajectory import trajectory
from agent.review.opinion.asking import Reviewer
from agent.risk.opinion import Concern, NoOpinion, Opinion, OpinionVerdict
from fakes.box import TmpBox
from fakes.conversation import with_budget
from fakes.model import ToldModel, call, calls, say
from fakes.second_opinions import CHANGE, ReviewedRun, opinion
from fakes.services import SERVICES, ProviderService
from policies.policy import Policy
from sandbox.errors import SandboxLost
from standins.exchange.replies import Call, answer

LOOK = call("read_file", path="new.txt")


@pytest.fixture
def run(tmp_path: Path, policy: Policy) -> ReviewedRun:
    return ReviewedRun(home=tmp_path, policy=policy)


@pytest.fixture
def strict(tmp_path: Path, policy: Policy) -> ReviewedRun:
    return ReviewedRun(home=tmp_path, policy=policy, require=True)


def given(result: RunResult) -> Opinion:
    found = result.document.opinion
    assert isinstance(found, Opinion), found
    return found


def none(result: RunResult) -> str:
    found = result.document.opinion
    assert isinstance(found, NoOpinion), found
    return found.reason


# -- what comes of it --------------------------------------------------------------------------


def test_an_approval_is_kept_and_finds_nothing(strict: ReviewedRun) -> None:
    result = strict.go(LOOK, opinion(missed=[]))
    assert (result.exit_code, result.document.outcome) == (exit_codes.DONE, "finished")
    assert given(result).verdict is OpinionVerdict.APPROVE
    assert result.document.findings == ()


@pytest.mark.parametrize(("verdict", "weight"), [("reject", "danger"), ("unsure", "warning")])
def test_what_is_not_approved_is_a_finding(run: ReviewedRun, verdict: str, weight: str) -> None:
    result = run.go(opinion(verdict))
    (finding,) = result.document.findings
    assert (finding.id, finding.severity.name.lower()) == ("not-approved", weight)
    assert (finding.refuses, result.exit_code) == (False, exit_codes.DONE)


@pytest.mark.parametrize("verdict", ["reject", "unsure"])
def test_where_approval_is_required_all_else_refuses_the_export(
    strict: ReviewedRun, verdict: str
) -> None:
    result = strict.go(opinion(verdict))
    assert isinstance(result.outcome, ExportRefused)
    assert isinstance(result.outcome.before, Finished)
    assert result.exit_code == exit_codes.EXPORT_REFUSED
    assert "not-approved" in result.document.detail
    assert failure.of_summary(result.document) is failure.BY_AGENT
    # The patch is there still, for a person who takes it.
    assert b"+made" in (strict.fake.record.directory / "patch.diff").read_bytes()


def test_where_approval_is_required_and_nobody_is_named_there_is_none(strict: ReviewedRun) -> None:
    policy = strict.fake.policy
    strict.fake.policy = replace(policy, review=replace(policy.review, model=None))
    result = strict.fake.go(ToldModel(*strict.steps))
    assert isinstance(result.outcome, ExportRefused)
    assert none(result) == "the run was only exported"


def test_the_operator_may_let_it_pass_beforehand(strict: ReviewedRun) -> None:
    strict.fake.accepted_risks = frozenset({"not-approved"})
    result = strict.go(opinion("reject"))
    (finding,) = result.document.findings
    assert (finding.accepted, finding.refuses, result.exit_code) == (True, False, exit_codes.DONE)


def test_no_reviewer_is_asked_about_nothing(strict: ReviewedRun) -> None:
    strict.steps = (say("the answer is 42"),)
    result = strict.go()
    assert (result.document.opinion, result.exit_code) == (None, exit_codes.DONE)


def test_a_patch_that_the_gate_refuses_is_not_approved_either(strict: ReviewedRun) -> None:
    strict.steps = (call("write_file", path=".github/x", content="x\n"), say("done"))
    result = strict.go()
    assert none(result) == "the export gate refused the patch"
    assert failure.of_summary(result.document) is failure.BY_AGENT
    refusing = {finding.id for finding in result.document.findings if finding.refuses}
    assert refusing == {"protected-path", "not-approved"}


def test_an_opinion_of_an_unverified_patch_does_not_hide_that(run: ReviewedRun) -> None:
    run.fake.verify = "false"
    result = run.go(opinion())
    assert isinstance(result.outcome, NotVerified)
    assert "not verified: false ends with 1" in run.question
    assert given(result).verdict is OpinionVerdict.APPROVE


def test_a_run_at_its_limit_of_turns_has_its_opinion(run: ReviewedRun, policy: Policy) -> None:
    run.fake.policy = with_budget(run.fake.policy, turns=1)
    result = run.go(LOOK, opinion())
    assert isinstance(result.outcome, LimitReached)
    assert given(result).verdict is OpinionVerdict.APPROVE


# -- what is asked -----------------------------------------------------------------------------


def test_it_is_asked_with_all_there_is_to_know(run: ReviewedRun) -> None:
    run.steps = (CHANGE, say("I made new.txt and tested it."))
    run.fake.verify = "echo checked"
    run.go(opinion())
    for words in (
        "mend it",
        "I made new.txt and tested it.",
        "verified: echo checked passes",
        "checked\n",
        "added new.txt (+1 -0",
        "+made",
    ):
        assert words in run.question


def test_it_has_the_tools_that_read_and_the_one_to_answer(run: ReviewedRun) -> None:
    run.go(opinion())
    names = [tool.name for tool in run.reviewer.requests[0].tools]
    assert names == ["read_file", "list_dir", "search_files", "give_opinion"]
    assert run.reviewer.requests[0].server_tools == ()


def test_it_looks_into_a_fresh_container_with_the_patch(run: ReviewedRun) -> None:
    run.go(LOOK, opinion())
    assert "made" in run.reviewer.last_results()[0].text
    assert run.fake.box is not None
    (fresh,) = run.fake.box.opened
    assert fresh.closed


# -- what counts as an answer ------------------------------------------------------------------


def test_concerns_stand_at_places_that_are_there(tmp_path: Path, policy: Policy) -> None:
    run = ReviewedRun(home=tmp_path, policy=policy, files={"calc.py": b"one\n", "old.py": b"1\n2"})
    run.steps = (CHANGE, call("delete_file", path="calc.py"), say("done"))
    said = [
        {"concern": "a", "file": "new.txt", "line": 1},
        {"concern": "b", "file": "/workspace/old.py", "line": 2},
        {"concern": "c", "file": "new.txt", "line": 7},
        {"concern": "d", "file": "nowhere.py", "line": 7},
        {"concern": "e", "file": "../../etc/passwd", "line": 1},
        {"concern": "f"},
        {"concern": "g", "file": "calc.py", "line": 1},
        {"concern": "h", "file": "."},
        {"concern": "i", "file": "x\0y"},
    ]
    assert given(run.go(opinion("reject", concerns=said))).concerns == (
        Concern(path=b"new.txt", line=1, text="a"),
        Concern(path=b"old.py", line=2, text="b"),
        Concern(path=b"new.txt", line=None, text="c (said of line 7, which is not there)"),
        Concern(path=b"", line=None, text="d (said of nowhere.py:7, which is not there)"),
        Concern(path=b"", line=None, text="e (said of ../../etc/passwd:1, which is not there)"),
        Concern(path=b"", line=None, text="f"),
        Concern(path=b"calc.py", line=None, text="g"),
        Concern(path=b"", line=None, text="h (said of ., which is not there)"),
        Concern(path=b"", line=None, text="i (said of x\0y, which is not there)"),
    )


def test_a_file_whose_name_has_a_newline_has_its_concerns(tmp_path: Path, policy: Policy) -> None:
    run = ReviewedRun(home=tmp_path, policy=policy)
    run.steps = (call("write_file", path="a\nb.txt", content="x\n"), say("done"))
    said = [{"concern": "odd", "file": "a\\nb.txt", "line": 1}]
    assert given(run.go(opinion("unsure", concerns=said))).concerns == (
        Concern(path=b"a\nb.txt", line=1, text="odd"),
    )
    assert "added a\\nb.txt" in run.question


@pytest.mark.parametrize(
    "answer",
    [
        call("give_opinion", verdict="approve"),
        opinion("approved"),
        opinion(more="x"),
        opinion(concerns=[{"concern": "x", "line": 0}]),
        opinion(concerns=[{"concern": "x"}] * 51),
        opinion(reason="x" * 4001),
        opinion(reason=7),
        opinion(reason="half a \ud800"),
        opinion(concerns=[{"concern": "x", "file": "\ud800"}]),
        say('{"verdict": "approve", "reason": "ok", "concerns": [], "missed": []}'),
        say("approve"),
        calls(("give_opinion", {}), stop=StopReason.MAX_TOKENS),
        calls(
            ("give_opinion", {"verdict": "approve", "reason": "", "concerns": [], "missed": []}),
            ("give_opinion", {"verdict": "reject", "reason": "", "concerns": [], "missed": []}),
        ),
    ],
)
def test_what_is_no_answer_by_the_form_is_corrected_a_few_times_and_never_believed(
    strict: ReviewedRun, answer: Reply
) -> None:
    result = strict.go(*[answer] * 4)
    assert none(result).endswith("4 times")
    assert result.exit_code == exit_codes.EXPORT_REFUSED


def test_after_a_correction_the_answer_counts(strict: ReviewedRun) -> None:
    result = strict.go(say("approve"), opinion("approve", more=1), opinion())
    assert given(result).verdict is OpinionVerdict.APPROVE


def test_an_opinion_beside_other_calls_is_none_and_the_calls_are_made(run: ReviewedRun) -> None:
    both = calls(
        ("read_file", {"path": "new.txt"}),
        ("give_opinion", {"verdict": "approve", "reason": "x", "concerns": [], "missed": []}),
    )
    assert given(run.go(both, opinion("reject"))).verdict is OpinionVerdict.REJECT
    looked, refused = run.reviewer.last_results()
    assert "made" in looked.text
    assert refused.is_error
    assert "no other tool beside it" in refused.text


def test_a_service_without_tools_is_asked_in_text_with_a_mark_of_its_own(
    run: ReviewedRun,
) -> None:
    def answered(request: Request) -> Reply:
        (label,) = set(re.findall(r"```(call-\w+)", request.system))
        given = {"verdict": "approve", "reason": "x", "concerns": [], "missed": []}
        made = json.dumps({"name": "give_opinion", "arguments": given})
        return say(f"```{label}\n{made}\n```")

    refused = ModelRefusedRequest("400: this model does not support tools")
    result = run.go(refused, answered)
    assert given(result).verdict is OpinionVerdict.APPROVE
    assert run.reviewer.requests[-1].tools == ()


# -- what goes wrong ---------------------------------------------------------------------------


def test_a_reviewer_that_only_looks_is_ended(strict: ReviewedRun) -> None:
    result = strict.go(*[LOOK] * 30)
    assert none(result) == "the reviewer gave none in 20 turns"
    assert len(strict.reviewer.requests) == 20
    assert "This is your last turn" in strict.reviewer.last_words()


def test_a_reviewer_that_floods_has_few_of_its_calls_made(run: ReviewedRun) -> None:
    run.go(calls(*[("read_file", {"path": "new.txt"})] * 500), opinion())
    made = [row for row in run.reviewer.last_results() if not row.is_error]
    assert len(made) == 12


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("bash", {"command": "touch /tmp/x"}),
        ("write_file", {"path": "calc.py", "content": "evil\n", "overwrite": True}),
        ("delete_file", {"path": "calc.py"}),
        ("update_plan", {"items": []}),
        ("approve", {}),
    ],
)
def test_a_tool_that_was_not_offered_is_not_there(
    run: ReviewedRun, tool: str, arguments: dict[str, object]
) -> None:
    run.go(call(tool, **arguments), opinion())
    (result,) = run.reviewer.last_results()
    assert result.is_error
    assert "There is no tool" in result.text
    assert run.fake.box is not None
    assert run.fake.box.opened[0].calls == ["apply", "close"]


def test_a_reviewer_whose_service_fails_costs_no_patch(run: ReviewedRun) -> None:
    result = run.go(ModelBilling("402: top up the account"))
    assert none(result) == "the reviewer can't be asked: 402: top up the account"
    assert (result.exit_code, result.document.outcome) == (exit_codes.DONE, "finished")
    assert [(it.id, it.severity.name) for it in result.document.findings] == [
        ("not-approved", "NOTE")
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ModelBilling("402: top up the account"), failure.OF_POLICY),
        (ModelUnavailable("529: overloaded"), failure.BUSY),
        (ModelRefusedRequest("400: these words"), failure.OF_TASK),
    ],
)
def test_where_approval_is_required_a_dead_service_is_none_and_no_fault_of_the_agent(
    strict: ReviewedRun, error: ModelError, expected: failure.Failure
) -> None:
    result = strict.go(error)
    assert isinstance(result.outcome, ExportRefused)
    assert str(error) in result.document.detail
    assert failure.of_summary(result.document) is expected


def test_a_defect_of_ours_is_no_approval(strict: ReviewedRun) -> None:
    result = strict.go(KeyError("oops"))
    assert "a defect of Moonpool" in none(result)
    assert result.exit_code == exit_codes.EXPORT_REFUSED


def test_a_reviewer_that_declines_gave_none(strict: ReviewedRun) -> None:
    assert "declined: no" in none(strict.go(say("no", StopReason.REFUSAL)))


def test_a_container_that_fails_is_no_opinion(strict: ReviewedRun) -> None:
    strict.fake.box = TmpBox(files=strict.files)
    strict.fake.box.failures["fresh"] = SandboxLost("no space left")
    result = strict.go()
    assert "no space left" in none(result)
    assert failure.of_summary(result.document) is failure.PASSING


def test_an_interrupt_while_it_is_awaited_ends_the_run_by_that_name(strict: ReviewedRun) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, ReviewerCalled):
            strict.fake.interrupts.receive("SIGTERM")

    strict.fake.also = interrupt
    result = strict.go(LOOK, opinion())
    assert isinstance(result.outcome, Interrupted)
    assert result.exit_code == exit_codes.INTERRUPTED
    # And yet it is not approved, which whoever applies it is told.
    assert [finding.refuses for finding in result.document.findings] == [True]


# -- what it costs -----------------------------------------------------------------------------

FREE = Rates(input=0, output=0, cache_write=0, cache_read=0)
DEAR = ModelInfo(prices=Prices(usual=replace(FREE, input=100.0, output=1000.0)))


def test_it_costs_from_the_run_s_own_budget(run: ReviewedRun) -> None:
    run.fake.policy = with_budget(run.fake.policy, usd=50.0)
    run.fake.facts = ModelInfo(prices=Prices(usual=FREE), source="a list")
    run.facts = replace(DEAR, source="another")
    used = Usage(input_tokens=10_000, output_tokens=1_000)
    result = run.go(replace(opinion(), usage=used))
    assert result.document.usd == pytest.approx(2.0)
    assert result.document.usd_source == "a list; another"
    assert result.document.tokens.input_tokens == 10_000
    assert result.document.turns == 2


def test_what_the_budget_does_not_pay_for_is_not_asked(strict: ReviewedRun) -> None:
    strict.fake.policy = with_budget(strict.fake.policy, usd=0.01)
    strict.fake.facts = ModelInfo(prices=Prices(usual=FREE))
    strict.facts = DEAR
    result = strict.go()
    assert none(result).startswith("the run's budget is used up: $0.0000 used of $0.01")
    assert result.exit_code == exit_codes.EXPORT_REFUSED


def test_without_a_price_the_dollars_are_not_known(run: ReviewedRun) -> None:
    run.fake.facts = ModelInfo(prices=Prices(usual=FREE))
    result = run.go(replace(opinion(), usage=Usage(input_tokens=10_000)))
    assert result.document.usd is None


def test_the_steps_of_a_trajectory_add_up_with_the_reviewer_s(run: ReviewedRun) -> None:
    run.fake.facts = run.facts = DEAR
    run.steps = (replace(CHANGE, usage=Usage(input_tokens=100)), say("done"))
    result = run.go(LOOK, replace(opinion(), usage=Usage(input_tokens=10, output_tokens=2)))
    document = trajectory(result.document, run.fake.run.journal.log)
    steps = document["steps"]
    assert isinstance(steps, list)
    used = [step["metrics"] for step in steps if "metrics" in step]
    totals = document["final_metrics"]
    assert isinstance(totals, dict)
    assert sum(it["prompt_tokens"] for it in used) == totals["total_prompt_tokens"] == 110
    assert sum(it["cost_usd"] for it in used) == pytest.approx(totals["total_cost_usd"])


# -- by every provider -------------------------------------------------------------------------


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.provider)
def test_every_provider_s_model_can_give_one(run: ReviewedRun, service: ProviderService) -> None:
    said = {
        "verdict": "reject",
        "reason": "No.",
        "concerns": [{"concern": "made", "file": "new.txt", "line": 1}, {"concern": "of all"}],
        "missed": ["a test"],
    }
    with service.stand_in() as api, closing(service.open(api)) as model:
        api.queue(
            answer("I look.", Call("read_file", {"path": "new.txt"})),
            answer(Call("give_opinion", {"verdict": "reject"})),
            answer(Call("give_opinion", said)),
        )
        run.fake.reviewer = Reviewer(model=model)
        result = run.fake.go(ToldModel(*run.steps))
        assert [request.fault for request in api.requests] == [None] * 3
    assert given(result).concerns == (
        Concern(path=b"new.txt", line=1, text="made"),
        Concern(path=b"", line=None, text="of all"),
    )


# -- what is recorded --------------------------------------------------------------------------


def test_its_steps_are_events_of_their_own_and_none_of_the_agent_s(run: ReviewedRun) -> None:
    run.go(LOOK, opinion("reject"))
    kinds = [type(event) for event in run.fake.log]
    for kind, count in ((ReviewStarted, 1), (ReviewerReplied, 2), (ReviewerCalled, 1)):
        assert kinds.count(kind) == count
    assert kinds.count(OpinionGiven) == 1
    state = run.fake.run.journal.state
    assert state.conversation.calls == 1
    assert "I looked." not in str(state.conversation.history)


def test_a_mark_is_drawn_for_each_review(run: ReviewedRun) -> None:
    marks = set()
    for _ in range(2):
        run.fake.box = None
        run.go(opinion())
        marks |= {*re.findall(r"<<(\w+) ", run.question)}
    assert {len(mark) for mark in marks} == {24}
    assert len(marks) == 2
