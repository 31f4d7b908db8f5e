"""The Agent Trajectory Interchange Format 1.8, written from the models of ``harbor`` 0.26.0.

As strict as those: no other key, steps that count from 1, what belongs to an agent's step only at
one, and no result of a call that its step has not made.
"""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ImageSource(Part):
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    path: str


class TextContent(Part):
    type: Literal["text"]
    text: str


class ImageContent(Part):
    type: Literal["image"]
    source: ImageSource


Content = str | list[TextContent | ImageContent]


class ToolCall(Part):
    tool_call_id: str
    function_name: str
    arguments: dict[str, Any]
    extra: dict[str, Any] | None = None


class Result(Part):
    source_call_id: str | None = None
    content: Content | None = None
    extra: dict[str, Any] | None = None


class Observation(Part):
    results: list[Result]


class Metrics(Part):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    extra: dict[str, Any] | None = None


class Step(Part):
    step_id: int = Field(ge=1)
    timestamp: datetime | None = None
    source: Literal["system", "user", "agent"]
    model_name: str | None = None
    message: Content
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    observation: Observation | None = None
    metrics: Metrics | None = None
    is_copied_context: bool | None = None
    llm_call_count: int | None = Field(default=None, ge=0)
    extra: dict[str, Any] | None = None

    @model_validator(mode="after")
    def only_an_agent_has_these(self) -> Self:
        of_agents = (self.model_name, self.reasoning_content, self.tool_calls, self.metrics)
        assert self.source == "agent" or of_agents == (None, None, None, None)
        return self

    @model_validator(mode="after")
    def results_are_of_its_own_calls(self) -> Self:
        made = {call.tool_call_id for call in self.tool_calls or ()} | {None}
        results = self.observation.results if self.observation else ()
        assert {result.source_call_id for result in results} <= made
        return self


class Agent(Part):
    name: str
    version: str
    model_name: str | None = None


class FinalMetrics(Part):
    total_prompt_tokens: int | None = None
    total_completion_tokens: int | None = None
    total_cached_tokens: int | None = None
    total_cost_usd: float | None = None
    total_steps: int | None = Field(default=None, ge=0)
    extra: dict[str, Any] | None = None


class Trajectory(Part):
    schema_version: Literal["ATIF-v1.8"]
    session_id: str | None = None
    trajectory_id: str | None = None
    agent: Agent
    steps: list[Step] = Field(min_length=1)
    notes: str | None = None
    final_metrics: FinalMetrics | None = None
    extra: dict[str, Any] | None = None

    @model_validator(mode="after")
    def steps_count_from_one(self) -> Self:
        assert [step.step_id for step in self.steps] == list(range(1, len(self.steps) + 1))
        return self
