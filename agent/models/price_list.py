"""A list of prices, from YAML to entries: strict, every error with file, line and key path.

Owns the form of a prices file and its reading. Refuses to know which entry is meant
(`agent.models.pricing`).

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
"""

from pathlib import Path
from typing import Annotated, Final, Literal

import pydantic

from agent.errors import UsageError
from agent.models.pricing import BOUNDLESS_TOKENS, ModelInfo, PriceEntry, Prices, Rates
from policies.errors import PolicyError
from policies.file import document as documents
from policies.file.document import Document, parse, read_text, spelled
from policies.file.fields import StrictModel, decoded_strictly

_CALLED: Final = "prices file"


def load(path: Path) -> tuple[PriceEntry, ...]:
    """Read an operator's prices file.

    Raises:
        UsageError: one line that names file, line, column and key path.
    """
    try:
        text = read_text(path, shown_as=str(path), called=_CALLED)
    except PolicyError as error:
        raise UsageError(error.in_full) from error
    return decode(text, file=str(path))


def decode(text: str, *, file: str) -> tuple[PriceEntry, ...]:
    """As `load`, from text; ``file`` stands in the errors."""
    try:
        return _entries(parse(text, file=file, called=_CALLED), file)
    except PolicyError as error:
        raise UsageError(error.in_full) from error


def own(path: Path) -> tuple[PriceEntry, ...]:
    """The list that comes with Moonpool."""
    return _entries(documents.own(path), "")


def _entries(document: Document, file: str) -> tuple[PriceEntry, ...]:
    whole = decoded_strictly(_PriceFile, document, unknown="is no key of a prices file")
    entries: dict[str, PriceEntry] = {}
    for index, model in enumerate(whole.models):
        if model.model in entries:
            path = ("models", index, "model")
            message = f"{model.model!r} stands there already"
            raise PolicyError(message, where=document.where(path), key=spelled(path))
        entries[model.model] = _entry(model, file)
    return tuple(entries.values())


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
            raise ValueError("a long_prompt needs usd_per_million beside it")
        return self


class _PriceFile(StrictModel):
    version: Literal[1]
    models: Annotated[tuple[_Model, ...], pydantic.Field(min_length=1)]


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
    cached = {"cache_write": given.input, "cache_read": given.input}
    return Rates(**cached | given.model_dump(exclude_none=True))
