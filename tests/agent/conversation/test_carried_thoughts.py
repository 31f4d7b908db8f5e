"""Encrypted thoughts in conversations that outgrow their window, by the loop's own means: the
Responses API takes each request, and the newest thoughts are there."""

from collections.abc import Mapping
from typing import Any

import pytest

from agent.conversation.summary import ASK_FOR_NOTES
from agent.models.interface import Model
from agent.models.openai.client import OpenAIModel
from agent.models.openai.responses.api import RESPONSES
from agent.models.pricing import ModelInfo
from agent.record.events.conversation import HistorySummarised, ResultsCleared
from agent.record.outcome import Finished
from fakes.box import TmpBox
from fakes.conversation import FakeConversation, with_budget
from fakes.long import files, turns
from fakes.providers import AT_ONCE
from policies.policy import Policy
from standins.exchange.replies import Behaviour, Thought, answer
from standins.responses.server import StandInResponses


class NotingStandIn(StandInResponses):
    """Answers where the model is asked for notes beside what is queued."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = False
        self.instead = self._notes

    def check(self, path: str, headers: Mapping[str, str], body: Any) -> None:
        super().check(path, headers, body)
        self._asked = ASK_FOR_NOTES in str(body["input"][-1])

    def _notes(self) -> Behaviour | None:
        return answer(Thought("What was it?"), "NOTES: parts read.") if self._asked else None


def kinds(body: Mapping[str, Any]) -> list[str]:
    return [item["type"] for item in body["input"]]


def converse(api: StandInResponses, policy: Policy, facts: ModelInfo) -> FakeConversation:
    model: Model = OpenAIModel.open(
        "gpt-5.4", api=RESPONSES, api_key=api.key, base_url=api.url, timing=AT_ONCE
    )
    box = TmpBox(files=files(api.left))
    allowed = with_budget(policy, turns=1000, input_tokens=10**9, output_tokens=10**8)
    conversation = FakeConversation(box=box, policy=allowed, facts=facts, max_tokens=4000)
    assert conversation.on(model) == Finished(message="Done.")
    box.close()
    return conversation


@pytest.mark.parametrize(("window", "how"), [(40_000, ResultsCleared), (12_000, HistorySummarised)])
def test_thoughts_are_carried_through_what_is_cleared_and_summarised(
    policy: Policy, window: int, how: type
) -> None:
    with NotingStandIn() as api:
        api.queue(*turns(60, thoughts=1))
        conversation = converse(api, policy, ModelInfo(context_tokens=window))
        assert any(isinstance(event, how) for event in conversation.log)
        assert [request.fault for request in api.requests if request.fault] == []
        assert api.left == ()
        thoughts = [kinds(request.body).count("reasoning") for request in api.requests]
        assert thoughts[-1] > 0
        assert max(thoughts) > thoughts[-1]
