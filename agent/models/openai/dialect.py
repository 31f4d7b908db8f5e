"""What differs between services that all call themselves OpenAI-compatible, and how it is learnt.

Pure. The same field is demanded by one service and refused by another, and none says beforehand
which. So a request is first written as most services of its kind take it, and a refusal that names
a field teaches: the next request leaves the field out, gives it its other name or a smaller value.
Refuses to know how a request is sent again; a dialect once learnt is kept for the model's lifetime.
"""

import re
from dataclasses import replace
from enum import StrEnum
from typing import Final

from policies.frozen import dataclass

_LEAST_OUTPUT: Final = 256
"""Tokens of output. Where less is left, the window is full: no step of a task fits."""

_LEAST_TAKEN_FOR_A_LIMIT: Final = 256

_LEAST_WINDOW: Final = 1024

_OPTIONAL_IN_CHAT: Final = frozenset(
    {
        *("stream_options", "image_url", "extra_content"),
        *("reasoning_content", "reasoning", "reasoning_details"),
    }
)
THOUGHTS: Final = "encrypted_content"
"""Of the Responses API: with it go all items that go back as they came."""

_OPTIONAL_IN_RESPONSES: Final = frozenset(
    {*("include", "store", "prompt_cache_key", "reasoning", "input_image"), THOUGHTS}
)

_REFUSED_CODES: Final = frozenset(
    {"unsupported_parameter", "unknown_parameter", "unsupported_value"}
)

_REFUSED_WORDS: Final = re.compile(
    r"unsupported|n[o']t support|unknown|unrecogni[sz]ed|unexpected|extra|"
    r"not permitted|not allowed|forbidden|additional propert|invalid (?:parameter|field)",
    re.IGNORECASE,
)

_TOO_LARGE: Final = re.compile(
    r"too (?:large|high|big|many)|at most|less than|maximum|range|must be (?:<|less)|exceed|limit"
    r"|between|<=|≤|greater|larger|up to|more than|allowed|only supports?",
    re.IGNORECASE,
)

_OUTPUT_LIMIT: Final = re.compile(
    r"max[_ ]?(?:imum )?(?:completion|output|new|gen|generation)?[_ ]?tokens|maxoutputtokens"
    r"|(?:output|completion|generated) tokens?",
    re.IGNORECASE,
)

_WINDOW: Final = (
    re.compile(
        r"maximum context length is (?P<window>\d{1,9}) tokens?.{0,200}?"
        r"(?:\(|at least |has |contains |and )(?P<prompt>\d{1,9}) (?:input tokens"
        r"|tokens in the messages|in the messages|in the prompt|prompt tokens)",
        re.IGNORECASE | re.DOTALL,
    ),
    re.compile(
        r"(?P<prompt>\d{1,9}) (?:input|prompt) tokens.{0,120}?"
        r"context (?:length|window|size) (?:is|of) (?:only )?(?P<window>\d{1,9})",
        re.IGNORECASE | re.DOTALL,
    ),
)
"""The window and the prompt, as OpenAI and vLLM complain of prompt and output together."""

_FULL: Final = re.compile(
    r"maximum (?:context|prompt|input|sequence|model) (?:length|size|tokens)"
    r"|context[ _](?:length|window|size)[^.]{0,60}(?:exceed|only|full|too)"
    r"|exceed[^.]{0,80}(?:context|maximum number of tokens|token limit|maximum (?:prompt|input))"
    r"|(?:input token count|(?:prompt|input)(?:'s)? (?:length|tokens?)|total tokens"
    r"|number of (?:input|prompt) tokens)[^.]{0,80}(?:exceed|maximum|limit|should be|allowed"
    r"|between|less|longer)"
    r"|(?:prompt|input|conversation|context|messages?)(?: is| are| was)? too (?:long|large|many)"
    r"|too many (?:input |prompt )?tokens|longer than the (?:model's )?context"
    r"|(?:reduce|shorten) (?:the |your )?(?:length|prompt|input|number of messages)",
    re.IGNORECASE,
)
"""How services say that a conversation does not fit: OpenAI, vLLM, llama.cpp, Gemini, xAI,
DashScope, Bedrock, and what their users report."""

_OF_LENGTH: Final = re.compile(r"token|context|prompt|input|length", re.IGNORECASE)

_OF_A_SETTING: Final = re.compile(
    r"requires?\b|not supported|unsupported|n[o']t support|(?:^|\s)--\w|mmproj|chat[ _]template"
    r"|not (?:enabled|loaded|configured|implemented)|failed to parse|must be|invalid|unknown"
    r"|missing|not found|no such",
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
    OUTPUT = "max_output_tokens"
    """The only one of the Responses API."""


_OTHER: Final = {
    TokenLimitParameter.COMPLETION: TokenLimitParameter.CLASSIC,
    TokenLimitParameter.CLASSIC: TokenLimitParameter.COMPLETION,
}
"""The name to try where one is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """What a service said against a request: hostile text, read for its hints only."""

    message: str
    code: str = ""
    type: str = ""
    param: str = ""

    @property
    def of_a_full_window(self) -> bool:
        if not _FULL_NAMES.isdisjoint({self.code, self.type}) or _FULL.search(self.message):
            return True
        if "input[" in f"{self.param} {self.message}":
            return False
        # By the numbers alone: so much came, and that is more than there may be.
        counts = {count for count in self.numbers if count >= _LEAST_WINDOW}
        limit = _OUTPUT_LIMIT.search(f"{self.param} {self.message}")
        return len(counts) > 1 and limit is None and _OF_LENGTH.search(self.message) is not None

    @property
    def of_a_setting(self) -> bool:
        """That the service was not set up for such a request, by its words."""
        return _OF_A_SETTING.search(self.message) is not None

    @property
    def of_an_item(self) -> bool:
        """That something in the input of the Responses API, by its place, is not as it must be."""
        return self.param.partition("[")[0] == "input" or "'input[" in self.message

    @property
    def numbers(self) -> list[int]:
        text = re.sub(r"(?<=\d)[,_](?=\d{3}(?!\d))", "", self.message)
        return [int(found) for found in re.findall(r"(?<![\w.])\d{1,9}(?![\w.]\w)", text)]

    def refuses(self, field: str) -> bool:
        """That the request has this field at all."""
        # The API names what it was the value of, such as "reasoning.summary".
        if self.param.partition(".")[0] == field and self.code in _REFUSED_CODES:
            return True
        if self.code == f"invalid_{field}":
            return True
        named = re.search(rf"(?<![\w-]){re.escape(field)}(?![\w-])", f"{self.param} {self.message}")
        return named is not None and _REFUSED_WORDS.search(self.message) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    limit: TokenLimitParameter
    most_tokens: int | None = None
    """Of output, where the service said that it gives no more."""
    optional: frozenset[str] = _OPTIONAL_IN_CHAT
    """Fields that a request still makes sense without."""
    without: frozenset[str] = frozenset()
    """Fields that it does not take."""

    def tokens(self, wanted: int) -> int:
        return wanted if self.most_tokens is None else min(wanted, self.most_tokens)

    def learnt(self, complaint: Complaint, *, wanted: int) -> "Dialect | None":
        """Another way to write the request that asked for ``wanted`` tokens; None: there is none.

        A service could teach in circles; the caller gives up on what it tried before.
        """
        for field in sorted(self.optional - self.without):
            if complaint.refuses(field):
                return self._less(field)
        # Before the field's name: a complaint that its value is too large names it too.
        smaller = self._smaller(complaint, self.tokens(wanted))
        if smaller is not None:
            return replace(self, most_tokens=smaller)
        if complaint.of_a_full_window:
            return None
        if complaint.refuses(self.limit):
            other = _OTHER.get(self.limit)
            return self._less(self.limit) if other is None else replace(self, limit=other)
        # Of an input's items, only what came from the service is not of our making.
        goes = complaint.of_an_item and THOUGHTS in self.optional - self.without
        return self._less(THOUGHTS) if goes else None

    def _less(self, field: str) -> "Dialect":
        return replace(self, without=self.without | {field})

    def _smaller(self, complaint: Complaint, sent: int) -> int | None:
        for form in _WINDOW:
            found = form.search(complaint.message)
            if found is not None:
                # Half of what is left: the conversation grows, and vLLM stops counting the prompt
                # where prompt and output together are too long, so that less may be left.
                left = min(int(found["window"]) - int(found["prompt"]), sent) // 2
                return left if left >= _LEAST_OUTPUT else None
        about_output = _OUTPUT_LIMIT.search(f"{complaint.param} {complaint.message}")
        if about_output is None and sent not in complaint.numbers:
            return None
        if _TOO_LARGE.search(complaint.message) is None:
            return None
        fitting = [n for n in complaint.numbers if _LEAST_TAKEN_FOR_A_LIMIT <= n < sent]
        return max(fitting, default=None)


PUBLIC: Final = Dialect(limit=TokenLimitParameter.COMPLETION)
"""Of OpenAI's own service."""

COMPATIBLE: Final = Dialect(limit=TokenLimitParameter.CLASSIC)
"""Of every other, until it says otherwise."""

PUBLIC_RESPONSES: Final = Dialect(limit=TokenLimitParameter.OUTPUT, optional=_OPTIONAL_IN_RESPONSES)

COMPATIBLE_RESPONSES: Final = replace(PUBLIC_RESPONSES, without=frozenset({"prompt_cache_key"}))
"""The key is of use to a service with many machines, and few others know it."""
