"""What differs between services that all call themselves OpenAI-compatible, and how it is learnt.

Pure. The same field is demanded by one service and refused by another, and none says beforehand
which. So a request is first written as most services of its kind take it, and a refusal that names
a field teaches: the next request leaves the field out, gives it its other name or a smaller value.
Refuses to know how a request is sent again; a dialect once learnt is kept for the model's lifetime.
"""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

_LEAST_OUTPUT: Final = 256
"""Tokens of output. Where less is left, the window is full: no step of a task fits."""

_LEAST_TAKEN_FOR_A_LIMIT: Final = 256

_OPTIONAL: Final = frozenset(
    {"stream_options", "reasoning_content", "reasoning", "extra_content", "image_url"}
)
"""Fields that a request still makes sense without."""

_REFUSED_CODES: Final = frozenset({"unsupported_parameter", "unknown_parameter"})

_REFUSED_WORDS: Final = re.compile(
    r"unsupported|not supported|n't supported|unknown|unrecogni[sz]ed|unexpected|extra|"
    r"not permitted|not allowed|forbidden|additional propert|invalid (?:parameter|field)",
    re.IGNORECASE,
)

_TOO_LARGE: Final = re.compile(
    r"too (?:large|high|big)|at most|less than or equal|maximum|valid range|must be (?:<|less)",
    re.IGNORECASE,
)

_WINDOW: Final = re.compile(
    r"maximum context length is (\d{1,9}) tokens?.{0,200}?"
    r"(?:\(|at least |has |contains |and )(\d{1,9}) (?:input tokens|tokens in the messages|"
    r"in the messages|in the prompt|prompt tokens)",
    re.IGNORECASE | re.DOTALL,
)
"""The window and the prompt, as OpenAI and vLLM complain of prompt and output together."""

_FULL: Final = re.compile(
    r"maximum context length|context[ _](?:length|window|size)[^.]{0,40}exceed|"
    r"exceed[^.]{0,60}context|prompt is too long|input is too long|"
    r"longer than the (?:model's )?context",
    re.IGNORECASE,
)

_FULL_NAMES: Final = frozenset(
    {"context_length_exceeded", "exceed_context_size_error", "context_window_exceeded"}
)


class TokenLimitParameter(StrEnum):
    """How a request names the most tokens that its reply may have."""

    COMPLETION = "max_completion_tokens"
    """OpenAI's own: its newer models refuse the other."""
    CLASSIC = "max_tokens"
    """What servers took before, and what many compatible ones take only."""

    @property
    def other(self) -> "TokenLimitParameter":
        return (
            TokenLimitParameter.CLASSIC
            if self is TokenLimitParameter.COMPLETION
            else TokenLimitParameter.COMPLETION
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What a service said against a request: hostile text, read for its hints only."""

    message: str
    code: str = ""
    type: str = ""
    param: str = ""

    @property
    def of_a_full_window(self) -> bool:
        named = not _FULL_NAMES.isdisjoint({self.code, self.type})
        return named or _FULL.search(self.message) is not None

    def refuses(self, field: str) -> bool:
        """That the request has this field at all."""
        if self.param == field and self.code in _REFUSED_CODES:
            return True
        named = re.search(rf"(?<![\w-]){re.escape(field)}(?![\w-])", f"{self.param} {self.message}")
        return named is not None and _REFUSED_WORDS.search(self.message) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    limit: TokenLimitParameter
    most_tokens: int | None = None
    """Of output, where the service said that it gives no more."""
    without: frozenset[str] = frozenset()
    """Fields that it does not take."""

    def tokens(self, wanted: int) -> int:
        return wanted if self.most_tokens is None else min(wanted, self.most_tokens)

    def learnt(self, complaint: Complaint, *, wanted: int) -> "Dialect | None":
        """Another way to write the request that asked for ``wanted`` tokens; None: there is none.

        A service could teach in circles; the caller gives up on what it tried before.
        """
        for field in sorted(_OPTIONAL - self.without):
            if complaint.refuses(field):
                return replace(self, without=self.without | {field})
        # Before the field's name: a complaint that its value is too large names it too.
        smaller = self._smaller(complaint, self.tokens(wanted))
        if smaller is not None:
            return replace(self, most_tokens=smaller)
        if not complaint.of_a_full_window and complaint.refuses(self.limit):
            return replace(self, limit=self.limit.other)
        return None

    def _smaller(self, complaint: Complaint, sent: int) -> int | None:
        found = _WINDOW.search(complaint.message)
        if found is not None:
            window, prompt = int(found[1]), int(found[2])
            # Half of what is left: the conversation grows, and vLLM stops counting the prompt where
            # prompt and output together are too long, so that more may be left than there is.
            left = min(window - prompt, sent) // 2
            return left if left >= _LEAST_OUTPUT else None
        named = re.search(r"max_(?:completion_)?tokens", f"{complaint.param} {complaint.message}")
        if named is None or _TOO_LARGE.search(complaint.message) is None:
            return None
        numbers = (
            int(text) for text in re.findall(r"(?<![\w.])\d{1,9}(?![\w.]\w)", complaint.message)
        )
        fitting = [n for n in numbers if _LEAST_TAKEN_FOR_A_LIMIT <= n < sent]
        return max(fitting, default=None)


PUBLIC: Final = Dialect(limit=TokenLimitParameter.COMPLETION)
"""Of OpenAI's own service."""

COMPATIBLE: Final = Dialect(limit=TokenLimitParameter.CLASSIC)
"""Of every other, until it says otherwise."""
