"""What a model costs, and how much it holds: facts as data, ours and the operator's.

Owns the form of a prices file, its strict reading, and which entry is meant by a model's name. A
figure that nobody supplied is None, never a guess. Refuses to know what a run has used
(`agent.conversation.budget`).

A file, YAML, unknown keys are errors::

    version: 1
    models:
      - model: openai:some-model       # this name, and this name with a date: -20260101, @20260101
        usd_per_million: {input: 1.25, output: 10, cache_write: 1.25, cache_read: 0.125}
                                       # the last two optional: as input where left out
        long_prompt:                   # optional: all of a request costs this where its input,
          over_tokens: 200000          # cached or not, is longer
          usd_per_million: {input: 2.50, output: 15}
        context_tokens: 400000         # optional, as all below
        output_tokens: 128000
        compaction: true               # the service itself summarises a conversation (Anthropic)
        source: where the figures stand
        seen: "2026-11-21"
      - model: openai:local-*          # every name that begins so
        usd_per_million: {input: 0, output: 0}

The longest name that matches is meant, and the operator's file before ours.
"""

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

import pydantic

from agent.errors import UsageError
from agent.models.interface import Usage
from policies.errors import PolicyError
from policies.file.document import Data, Document, KeyPath, own, parse, read_text, spelled
from policies.file.strict import StrictModel
from policies.frozen import dataclass

ASSUMED_CONTEXT_TOKENS: Final = 128_000
"""The window of a model that no list knows: what most services offer at least."""

BOUNDLESS_TOKENS: Final = 1_000_000_000
"""A window so large has no bound: nothing of the conversation is ever left out."""

_DATED: Final = re.compile(r"[-@][0-9]{8}\Z")
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


def facts_of(name: str, own: Sequence[PriceEntry] = (), *, listed: bool = True) -> ModelInfo:
    """What is known of ``PROVIDER:NAME``; ``own`` is the operator's list.

    Args:
        listed: whether our list is of the service that is asked.
    """
    for entries in (own, _ours() if listed else ()):
        found = [entry for entry in entries if entry.matches(name)]
        if found:
            # A name as it stands is more exact than a beginning of the same length.
            return max(
                found, key=lambda e: (len(e.pattern.rstrip("*")), "*" not in e.pattern)
            ).facts
    return UNKNOWN


def load(path: Path) -> tuple[PriceEntry, ...]:
    """Read an operator's prices file.

    Raises:
        UsageError: one line that names file, line, column and key path.
    """
    try:
        return decode(read_text(path, shown_as=str(path)), file=str(path))
    except PolicyError as error:
        raise _usage_error(error) from error


def decode(text: str, *, file: str) -> tuple[PriceEntry, ...]:
    """As `load`, from text; ``file`` stands in the errors."""
    try:
        document = parse(text, file=file)
    except PolicyError as error:
        raise _usage_error(error) from error
    return _entries(document, file)


def _entries(document: Document, file: str) -> tuple[PriceEntry, ...]:
    try:
        whole = _PriceFile.model_validate(_lists(document.data))
    except pydantic.ValidationError as error:
        raise UsageError(_explained(error, document)) from error
    entries: list[PriceEntry] = []
    for index, model in enumerate(whole.models):
        if any(entry.pattern == model.model for entry in entries):
            path = ("models", index, "model")
            raise UsageError(_placed(document, path, f"{model.model!r} stands there already"))
        entries.append(_entry(model, file))
    return tuple(entries)


@cache
def _ours() -> tuple[PriceEntry, ...]:
    return _entries(own(Path(__file__).with_name("prices.yaml")), "")


# -- the form ------------------------------------------------------------------------------


_Usd = Annotated[float, pydantic.Field(ge=0, le=100_000)]
_Tokens = Annotated[int, pydantic.Field(ge=1, le=BOUNDLESS_TOKENS)]
_Line = Annotated[str, pydantic.Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]*$")]


class _Rates(StrictModel):
    input: _Usd
    output: _Usd
    cache_write: _Usd | None = None
    cache_read: _Usd | None = None


class _LongPrompt(StrictModel):
    over_tokens: _Tokens
    usd_per_million: _Rates


class _Model(StrictModel):
    model: Annotated[str, pydantic.Field(pattern=r"^[a-z][a-z0-9-]*:[^\s*]*\*?$", max_length=300)]
    usd_per_million: _Rates | None = None
    long_prompt: _LongPrompt | None = None
    context_tokens: _Tokens | None = None
    output_tokens: _Tokens | None = None
    compaction: bool = False
    source: _Line | None = None
    seen: Annotated[str, pydantic.Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None

    @pydantic.model_validator(mode="after")
    def _has_a_usual_price(self) -> "_Model":
        if self.long_prompt is not None and self.usd_per_million is None:
            raise ValueError("long_prompt needs usd_per_million beside it")
        return self


class _PriceFile(StrictModel):
    version: Literal[1]
    models: Annotated[list[_Model], pydantic.Field(min_length=1)]


def _entry(model: _Model, file: str) -> PriceEntry:
    prices = None
    if model.usd_per_million is not None:
        long = model.long_prompt
        prices = Prices(
            usual=_rates(model.usd_per_million),
            long=_rates(long.usd_per_million) if long is not None else None,
            long_over_tokens=long.over_tokens if long is not None else 0,
        )
    parts = [file, model.source or "", f"seen {model.seen}" if model.seen else ""]
    return PriceEntry(
        pattern=model.model,
        facts=ModelInfo(
            prices=prices,
            context_tokens=model.context_tokens,
            output_tokens=model.output_tokens,
            compaction=model.compaction,
            source=", ".join(part for part in parts if part),
        ),
    )


def _rates(given: _Rates) -> Rates:
    write, read = given.cache_write, given.cache_read
    return Rates(
        input=given.input,
        output=given.output,
        cache_write=given.input if write is None else write,
        cache_read=given.input if read is None else read,
    )


def _lists(data: Data | object) -> object:
    """The document's tuples as the lists that a strict model takes; its int prices as they are."""
    match data:
        case dict():
            return {key: _lists(item) for key, item in data.items()}
        case tuple():
            return [_lists(item) for item in data]
        case _:
            return data


def _explained(error: pydantic.ValidationError, document: Document) -> str:
    worst = max(error.errors(), key=lambda item: len(item["loc"]))
    message = str(worst["msg"]).removeprefix("Value error, ")
    if worst["type"] == "missing":
        return _placed(document, worst["loc"][:-1], f"{worst['loc'][-1]} is missing")
    if worst["type"] == "extra_forbidden":
        message = "is no key of a prices file"
    return _placed(document, worst["loc"], message)


def _placed(document: Document, path: KeyPath, message: str) -> str:
    where = document.keys.get(path) if message.startswith("is no key") else None
    where = where or document.where(path)
    key = f"{spelled(path)}: " if path else ""
    return f"{where.file}:{where.line}:{where.column}: {key}{message}"


def _usage_error(error: PolicyError) -> UsageError:
    where = error.where
    place = f"{where.file}:{where.line}:{where.column}" if where.line else where.file
    message = error.message.replace("a policy", "a prices file").replace("policies", "prices files")
    return UsageError(f"{place}: {f'{error.key}: ' if error.key else ''}{message}")
