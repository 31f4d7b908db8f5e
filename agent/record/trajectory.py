"""``trajectory.json``: a run in the Agent Trajectory Interchange Format, for tools of others.

Version 1.8 is what the ``harbor`` package 0.26 validates: steps of user, agent and system, an
agent's with its calls, what they gave, and what the reply used. There is one agent in it, and no
other below it. All that was used stands at some step, so that the steps add up to the totals: a
reply that broke off is a step without words, a summary of the history one with the summary's.

Owns the form. What of it is a secret, the record takes out (`agent.record.store.RunRecord.redact`);
where the gate found one in the patch, everything is masked as in the report.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from agent import verification
from agent.models.interface import Opaque, Usage, uses_of, words_of
from agent.record.events.conversation import (
    CallEnded,
    CallRefused,
    ContextShown,
    HistorySummarised,
    ModelReplied,
    ReplyDiscarded,
    TextFormChosen,
    UserMessageAdded,
)
from agent.record.events.kinds import Recorded, form_in_words
from agent.record.events.lifecycle import (
    Forked,
    OpinionGiven,
    Resumed,
    ReviewerReplied,
    ReviewStarted,
    RunStarted,
    VerificationEnded,
)
from agent.record.events.recorded import plain
from agent.record.outcome import Finished, name_of
from agent.record.store import EVENTS, IMAGES
from agent.record.summary import RunSummary
from agent.risk.opinion import in_words as opinion_words
from agent.verification import NotAsked

VERSION = "ATIF-v1.8"
Step = dict[str, object]
_Spending = ModelReplied | ReplyDiscarded | HistorySummarised | ReviewerReplied

_TIME = re.compile(rb'\{"seq": \d+, "time": "([0-9T:.+-]+)"')
_THOUGHTS = ("thinking", "reasoning_content", "reasoning")
"""Keys under which the services put the words of a thought."""


def trajectory(
    summary: RunSummary,
    log: Sequence[Recorded],
    times: Sequence[str] = (),
    hide: Callable[[str], str] = str,
) -> dict[str, object]:
    """The document, as JSON.

    Args:
        log: every recorded event of the run.
        times: when each was recorded (RFC 3339); of another length, no step says when it was.
        hide: takes out of a text what must not be shown.
    """
    when = times if len(times) == len(log) else [""] * len(log)
    steps = _Steps(hide)
    for event, time in zip(log, when, strict=True):
        steps.add(event, time)
    steps.end(summary)
    used = summary.tokens
    agent = {"name": "moonpool", "version": steps.version, "model_name": steps.first_model}
    totals: dict[str, object] = {
        "total_prompt_tokens": used.all_input,
        "total_completion_tokens": used.output_tokens,
        "total_cached_tokens": used.cache_read_tokens,
        "total_cost_usd": summary.usd,
        "total_steps": len(steps.made),
        "extra": {"total_cache_write_tokens": used.cache_write_tokens},
    }
    of_patch = ("outcome", "policy", "base_tree", "tree", "patch_sha256")
    return {
        "schema_version": VERSION,
        "session_id": summary.run_id,
        "trajectory_id": summary.run_id,
        "agent": {key: value for key, value in agent.items() if value},
        "steps": steps.made,
        "final_metrics": _known(totals),
        "extra": {name: getattr(summary, name) for name in of_patch},
    }


def recorded_times(directory: Path) -> list[str]:
    """When each event was recorded, by the run's directory; empty where that is not known."""
    try:
        with (directory / EVENTS).open("rb") as lines:
            return [found[1].decode() if (found := _TIME.match(line)) else "" for line in lines]
    except OSError:
        return []


class _Steps:
    """The steps so far. Mutable."""

    def __init__(self, hide: Callable[[str], str]) -> None:
        self._hide = hide
        self.made: list[Step] = []
        self.version = ""
        self.first_model = ""
        self._model = ""
        self._reviewer = ""
        self._calls: dict[str, Step] = {}
        """The step that holds each call of the newest reply."""
        self._used = Usage()
        self._usd: float | None = None

    def add(self, event: Recorded, time: str) -> None:  # noqa: C901, PLR0912 - a line a kind
        match event:
            case RunStarted():
                self.version = event.version
                self.first_model = self._model = event.model
            case Resumed():
                self._model = event.model
            case Forked():
                self._model = event.model
                for step in self.made:
                    step["is_copied_context"] = True
            case UserMessageAdded():
                extra = None if event.what == "request" else {"kind": event.what}
                self._step("user", event.text, time, extra=extra)
            case TextFormChosen():
                self._step("system", form_in_words(event), time, extra={"why": event.why})
            case ContextShown():
                self._step("user", event.text, time, extra={"kind": "context files"})
            case ModelReplied() | ReplyDiscarded() | HistorySummarised() | ReviewerReplied():
                self._spent(event, time)
            case ReviewStarted():
                self._reviewer = event.model
            case OpinionGiven():
                self._step("system", opinion_words(event.opinion), time)
            case CallEnded() | CallRefused():
                self._answered(event, time)
            case VerificationEnded() if not isinstance(event.result, NotAsked):
                step = self._step("system", verification.in_words(event.result), time)
                output = getattr(event.result, "output", "")
                if output:
                    step["observation"] = {"results": [{"content": self._text(output)}]}
            case _:
                pass

    def end(self, summary: RunSummary) -> None:
        """How the run ended, where its last words do not say it; there is one step at least."""
        if summary.outcome != name_of(Finished) or not self.made:
            detail = f": {summary.detail}" if summary.detail else ""
            self._step("system", f"{summary.outcome}{detail}", "")

    def _step(
        self, source: str, message: str, time: str, extra: Mapping[str, object] | None = None
    ) -> Step:
        step: Step = {"step_id": len(self.made) + 1, "source": source}
        if time:
            step["timestamp"] = time
        if source == "agent" and self._model != self.first_model:
            step["model_name"] = self._model
        step["message"] = self._text(message)
        if extra is not None:
            step["extra"] = dict(extra)
        self.made.append(step)
        return step

    def _replied(self, event: ModelReplied, time: str) -> Step:
        reply = event.reply
        opaque = [block for block in reply.message.blocks if isinstance(block, Opaque)]
        step = self._step("agent", words_of(reply), time)
        thought = "\n\n".join(text for block in opaque for text in _thoughts(block.raw))
        if thought:
            step["reasoning_content"] = self._text(thought)
        uses = uses_of(reply)
        if uses:
            step["tool_calls"] = [
                {
                    "tool_call_id": self._text(use.id),
                    "function_name": self._text(use.name),
                    "arguments": self._json(use.arguments),
                }
                for use in uses
            ]
        self._calls = {use.id: step for use in uses}
        extra: dict[str, object] = {"stop": str(reply.stop), "seconds": round(event.seconds, 3)}
        by_service = [self._text(block.server_side) for block in opaque if block.server_side]
        step["extra"] = _known({**extra, "run_by_the_service": by_service or None})
        return step

    def _spending(self, event: _Spending, time: str) -> Step:
        match event:
            case ModelReplied():
                return self._replied(event, time)
            case ReplyDiscarded():
                return self._step("agent", "", time, extra={"kind": "a reply that broke off"})
            case HistorySummarised():
                extra = {"kind": "summary of the history", "through_reply": event.through}
                source = "system" if event.author == "nobody" else "agent"
                return self._step(source, event.notes, time, extra=extra)
            case ReviewerReplied():
                # No word of the agent's; it stands here with what it used.
                step = self._step("agent", "", time, extra={"kind": "a reviewer's reply"})
                step["model_name"] = self._reviewer
                return step

    def _spent(self, event: _Spending, time: str) -> None:
        """What was used since the step before, as the run counts it, estimates included."""
        step = self._spending(event, time)
        if step["source"] == "system":
            return
        used, before = event.used, self._used
        metrics: dict[str, object] = {
            "prompt_tokens": used.all_input - before.all_input,
            "completion_tokens": used.output_tokens - before.output_tokens,
            "cached_tokens": used.cache_read_tokens - before.cache_read_tokens,
        }
        if event.usd is not None:
            metrics["cost_usd"] = round(event.usd - (self._usd or 0.0), 9)
        written = used.cache_write_tokens - before.cache_write_tokens
        if written:
            metrics["extra"] = {"cache_write_tokens": written}
        step["llm_call_count"] = 1
        step["metrics"] = metrics
        self._used, self._usd = used, event.usd

    def _answered(self, event: CallEnded | CallRefused, time: str) -> None:
        step = self._calls.get(event.tool_use_id)
        result: dict[str, object] = {}
        if step is not None:
            result["source_call_id"] = self._text(event.tool_use_id)
        else:
            step = self._step("system", f"a call to {event.tool} ended", time)
        result["content"] = self._content(event)
        result["extra"] = _facts(event)
        observation = step.setdefault("observation", {"results": []})
        observation["results"].append(result)  # type: ignore[index]  # made in the line before

    def _content(self, event: CallEnded | CallRefused) -> object:
        text = self._text(event.text)
        if isinstance(event, CallRefused) or not event.images:
            return text
        images = [
            {
                "type": "image",
                "source": {"media_type": image.media_type, "path": f"{IMAGES}/{image.sha256}"},
            }
            for image in event.images
        ]
        return [{"type": "text", "text": text}, *images]

    def _text(self, text: str) -> str:
        # A model's half characters have no UTF-8 form, and no reader takes them.
        return self._hide(text).encode("utf-8", "replace").decode()

    def _json(self, value: Mapping[str, object]) -> object:
        return _mapped(plain(value), self._hide)


def _facts(event: CallEnded | CallRefused) -> dict[str, object]:
    """What there is to say of a call's end beside what the model was told."""
    if isinstance(event, CallRefused):
        return {"refused": event.why}
    ending = None if event.ending is None else str(event.ending)
    facts = {"is_error": event.is_error, "seconds": round(event.seconds, 3)}
    return _known({**facts, "exit_code": event.exit_code, "ending": ending})


def _known(items: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in items.items() if value is not None}


def _thoughts(raw: Mapping[str, object]) -> Iterator[str]:
    for key in _THOUGHTS:
        said = raw.get(key)
        if isinstance(said, str) and said.strip():
            yield said
    # The Responses API: in short, or where a service does not encrypt it, all of it.
    for key in ("summary", "content") if raw.get("type") == "reasoning" else ():
        parts = raw.get(key)
        for part in parts if isinstance(parts, Iterable) else ():
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                yield str(part["text"])


def _mapped(value: object, change: Callable[[str], str]) -> object:
    """A JSON value with each of its strings changed."""
    match value:
        case str():
            return change(value)
        case list():
            return [_mapped(item, change) for item in value]
        case dict():
            return {change(key): _mapped(item, change) for key, item in value.items()}
        case _:
            return value
