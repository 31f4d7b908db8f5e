"""What a policy asks about: approved for the exact call, or not run."""

from dataclasses import replace

import pytest

from agent.record.events.conversation import ApprovalAnswered
from fakes.conversation import FakeConversation
from fakes.model import ToldModel, call, say
from policies.decision import Approved, Ask, Call, Declined
from policies.errors import Where
from policies.policy import CommandRule


@pytest.fixture
def asking(conversation: FakeConversation) -> FakeConversation:
    """A conversation under a policy that asks about ``touch``."""
    rule = CommandRule(program="touch", args=None, ask=True, where=Where(file="p.yaml", line=7))
    others = tuple(rule for rule in conversation.policy.commands if rule.program != "touch")
    conversation.policy = replace(conversation.policy, commands=(*others, rule))
    return conversation


def test_without_a_person_it_is_denied_and_says_so(asking: FakeConversation) -> None:
    model = ToldModel(call("bash", command="touch made"), say("done"))
    asking.on(model)
    assert "nobody can be asked" in model.last_results()[0].text
    assert asking.box.calls == []
    assert [event.why for event in asking.refused()] == ["not approved"]


def test_an_approved_call_runs_and_the_answer_is_recorded(asking: FakeConversation) -> None:
    asking.approve = lambda _call, ask: Approved(digest=ask.digest)
    asking.on(ToldModel(call("bash", command="touch made"), say("done")))
    assert asking.box.calls == ["run touch made"]
    answers = [event.answer for event in asking.log if isinstance(event, ApprovalAnswered)]
    assert answers == ["approved"]


def test_a_declined_call_goes_back_with_the_reason(asking: FakeConversation) -> None:
    asking.approve = lambda _call, _ask: Declined(reason="not today")
    model = ToldModel(call("bash", command="touch made"), say("done"))
    asking.on(model)
    assert "not today" in model.last_results()[0].text
    assert asking.box.calls == []


def test_an_approval_of_another_call_counts_for_nothing(asking: FakeConversation) -> None:
    digests: list[str] = []

    def first_answer_again(_call: Call, ask: Ask) -> Approved:
        digests.append(ask.digest)
        return Approved(digest=digests[0])

    asking.approve = first_answer_again
    asking.on(
        ToldModel(
            call("bash", command="touch made"),
            call("bash", command="touch made other"),
            say("done"),
        )
    )
    assert asking.box.calls == ["run touch made"]
