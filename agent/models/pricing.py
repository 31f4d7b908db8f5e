"""What a model costs, and how much it holds: facts as data, ours and the operator's.

Owns which entry is meant by a model's name: the longest one that matches, and the operator's file
before ours. A figure that nobody supplied is None, never a guess. Refuses to know how a list of
prices is written (`agent.models.price_list`), and what a run has used
(`agent.conversation.budget`).
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from agent.models.interface import ToolForm, Usage
from policies.frozen import dataclass

ASSUMED_CONTEXT_TOKENS: Final = 128_000
"""The window of a model that no list knows: what most services offer at least."""

BOUNDLESS_TOKENS: Final = 1_000_000_000
"""A window so large has no bound: nothing of the conversation is ever left out."""

_DATED: Final = re.compile(r"(?:[-@][0-9]{8}|-[0-9]{4}-[0-9]{2}-[0-9]{2})\Z")
_OPENAI: Final = "openai:"
_RESPONSES: Final = "responses:"
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """USD per million tokens."""

    input: float
    output: float
    cache_write: float
    """For a cache that is kept for five minutes."""
    cache_read: float

    def usd(self, usage: Usage) -> float:
        micro = (
            usage.input_tokens * self.input
            + usage.output_tokens * self.output
            + usage.cache_write_tokens * self.cache_write
            + usage.cache_read_tokens * self.cache_read
        )
        return micro / _MILLION


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    usual: Rates
    long: Rates | None = None
    long_over_tokens: int = 0
    """`long` holds for all of a request whose input has more tokens than this."""

    def rates(self, input_tokens: int) -> Rates:
        if self.long is not None and input_tokens > self.long_over_tokens:
            return self.long
        return self.usual

    def usd(self, usage: Usage) -> float:
        """What one request cost."""
        return self.rates(usage.all_input).usd(usage)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What is known of one model."""

    prices: Prices | None = None
    context_tokens: int | None = None
    output_tokens: int | None = None
    """The most tokens that one reply may have."""
    compaction: bool = False
    """The service summarises a conversation on demand."""
    tool_form: ToolForm = ToolForm.AUTO
    """As the operator has it."""
    source: str = ""
    """Where the figures come from and when they were seen there, in one line."""

    @property
    def window(self) -> int:
        return self.context_tokens or ASSUMED_CONTEXT_TOKENS


UNKNOWN: Final = ModelInfo()


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceEntry:
    pattern: str
    facts: ModelInfo

    def matches(self, name: str) -> bool:
        if self.pattern.endswith("*"):
            return name.startswith(self.pattern[:-1])
        rest = name.removeprefix(self.pattern)
        return name == self.pattern or (rest != name and _DATED.match(rest) is not None)


_FREE = Rates(input=0, output=0, cache_write=0, cache_read=0)
_SCRIPT = ModelInfo(
    prices=Prices(usual=_FREE),
    context_tokens=1_000_000_000,
    source="a recorded conversation, which asks nobody",
)


def facts_of(name: str, own: Sequence[PriceEntry] = (), *, listed: bool = True) -> ModelInfo:
    """What is known of ``PROVIDER:NAME``; ``own`` is the operator's list.

    The two APIs of an OpenAI-compatible service have the same models: where nothing stands under
    ``responses:``, what stands under ``openai:`` counts.

    Args:
        listed: whether our list is of the service that is asked.
    """
    found = [entry for entry in own if entry.matches(name)]
    if not found and name.startswith("script:"):
        return _SCRIPT  # to read the list takes longer than a script's first turns
    if not found and listed:
        found = [entry for entry in _ours() if entry.matches(name)]
    if not found and name.startswith(_RESPONSES):
        return facts_of(f"{_OPENAI}{name.removeprefix(_RESPONSES)}", own, listed=listed)
    if not found:
        return UNKNOWN
    # A name as it stands is more exact than a beginning of the same length.
    return max(found, key=lambda e: (len(e.pattern.rstrip("*")), "*" not in e.pattern)).facts


def listed_models() -> tuple[str, ...]:
    """The models of our own list by their whole names, as ``-m`` takes them."""
    named = [entry.pattern for entry in _ours() if "*" not in entry.pattern]
    openai = [name.removeprefix(_OPENAI) for name in named if name.startswith(_OPENAI)]
    return (*named, *(f"{_RESPONSES}{name}" for name in openai))


@cache
def _ours() -> tuple[PriceEntry, ...]:
    from agent.models import price_list  # noqa: PLC0415 - a script has no price

    return price_list.own(Path(__file__).with_name("prices.yaml"))
