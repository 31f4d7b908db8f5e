"""A conversation of many turns through the real SDK, on a stand-in with a window: shared by the
tests of long runs and by the benchmark."""

from collections.abc import Iterable
from dataclasses import replace

from agent.models.anthropic.client import AnthropicModel
from agent.models.interface import Usage
from agent.models.pricing import ModelInfo, facts_of
from agent.record.events.conversation import ModelReplied
from agent.record.events.kinds import Event
from agent.record.outcome import Conversation
from fakes.box import TmpBox
from fakes.conversation import FakeConversation, with_budget
from fakes.providers import AT_ONCE
from policies.policy import Policy
from standins.anthropic.compacting import CompactingStandIn
from standins.exchange.replies import Answer, Behaviour, Call, Thought, answer

TASK = "Mend the parser. Word for word: keep the name `frobnicate`."
SIZES = (300, 1_200, 5_000, 800, 12_000, 2_500, 400, 8_000)
"""Bytes of the results of one turn after the other, as a run on a real repository has them."""


def files(queued: Iterable[Behaviour]) -> dict[str, bytes]:
    """Those that the queued answers read: each another, or a run would bring nothing new."""
    calls = [
        block
        for behaviour in queued
        if isinstance(behaviour, Answer)
        for block in behaviour.blocks
        if isinstance(block, Call)
    ]
    paths = {str(call.arguments["path"]) for call in calls if "path" in call.arguments}
    return {path: _content(path) for path in paths}


def _content(path: str) -> bytes:
    size = int(path.split("-")[1])
    line = f"%05d def step(value): return value + 1  # of {path}\n".encode()
    return b"".join(line % n for n in range(size // len(line % 0) + 1))[:size]


def turns(
    number: int, *, parallel: int = 1, thoughts: int = 10, sizes: tuple[int, ...] = SIZES
) -> list[Behaviour]:
    """Answers that each read files, and a last one that is done."""
    made: list[Behaviour] = []
    for turn in range(number):
        reads = [
            Call("read_file", {"path": f"f{turn}-{sizes[(turn + place) % len(sizes)]}-{place}.py"})
            for place in range(parallel)
        ]
        thought = [Thought(f"Step {turn}.")] if thoughts and turn % thoughts == 0 else []
        made.append(answer(*thought, f"I look at part {turn}.", *reads))
    return [*made, answer("Done.")]


def converse(
    api: CompactingStandIn,
    policy: Policy,
    *,
    name: str = "claude-opus-5-5",
    facts: ModelInfo | None = None,
    usd: float | None = None,
    max_tokens: int = 32_000,
) -> tuple[Conversation, FakeConversation]:
    model = AnthropicModel.open(
        name,
        api_key=api.key,
        base_url=api.url,
        timing=AT_ONCE,
    )
    known = facts or replace(facts_of(f"anthropic:{name}"), context_tokens=api.window)
    box = TmpBox(files=files(api.left))
    conversation = FakeConversation(
        box=box,
        policy=with_budget(policy, usd=usd, turns=1000, input_tokens=10**9, output_tokens=10**8),
        facts=known,
        max_tokens=max_tokens,
    )
    try:
        return conversation.on(model, TASK), conversation
    finally:
        box.close()
        model.close()


def replied(log: list[Event]) -> Usage:
    """The sum of what the replies said."""
    return sum(
        (event.reply.usage for event in log if isinstance(event, ModelReplied)), start=Usage()
    )


def share_read(used: Usage) -> float:
    return used.cache_read_tokens / used.all_input
