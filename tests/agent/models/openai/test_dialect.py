"""What a refusal teaches, in the words of the services that refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.models.openai.dialect import COMPATIBLE, PUBLIC, Complaint, Dialect, TokenLimitParameter

WANTED = 32_000


def learnt(
    message: str, dialect: Dialect = COMPATIBLE, *, wanted: int = WANTED, **fields: str
) -> Dialect | None:
    return dialect.learnt(Complaint(message=message, **fields), wanted=wanted)


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead."
            ),
            "max_tokens",
        ),
        ("Unrecognized request argument supplied: max_tokens", ""),
        ("Unknown parameter: 'max_tokens'.", "max_tokens"),
    ],
)
def test_the_limits_other_name_is_learnt(message: str, param: str) -> None:
    better = learnt(message, param=param)
    assert better is not None
    assert better.limit is TokenLimitParameter.COMPLETION


@pytest.mark.parametrize(
    "message",
    [
        "Extra inputs are not permitted: max_completion_tokens",
        'json: unknown field "max_completion_tokens"',
        "property 'max_completion_tokens' is unsupported",
        '[{"loc": ["body", "max_completion_tokens"], "msg": "extra fields not permitted"}]',
    ],
)
def test_the_limits_older_name_is_learnt(message: str) -> None:
    better = learnt(message, PUBLIC)
    assert better is not None
    assert better.limit is TokenLimitParameter.CLASSIC


@pytest.mark.parametrize(
    ("message", "most"),
    [
        (
            (
                "max_tokens is too large: 32000. This model supports at "
                "most 16384 completion tokens, "
                "whereas you provided 32000."
            ),
            16384,
        ),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
        ("`max_tokens` must be less than or equal to `8192`, the maximum value for it", 8192),
        ("max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens", 8192),
    ],
)
def test_the_most_that_a_model_gives_is_learnt(message: str, most: int) -> None:
    better = learnt(message)
    assert better is not None
    assert better.limit is TokenLimitParameter.CLASSIC
    assert (better.tokens(WANTED), better.tokens(100)) == (most, 100)


@pytest.mark.parametrize(
    "message",
    [
        (
            "This model's maximum context length is 40000 tokens. "
            "However, you requested 42000 tokens "
            "(10000 in the messages, 32000 in the completion). Please reduce the length."
        ),
        (
            "'max_tokens' or 'max_completion_tokens' is too large: "
            "32000. This model's maximum context "
            "length is 40000 tokens and your request has 10000 input "
            "tokens (32000 > 40000 - 10000)."
        ),
        (
            "This model's maximum context length is 40000 tokens. "
            "However, you requested 32000 output "
            "tokens and your prompt contains at least 10000 input tokens, for a total of at least "
            "42000 tokens."
        ),
    ],
)
def test_what_is_left_of_the_window_is_learnt(message: str) -> None:
    better = learnt(message)
    assert better is not None
    assert better.tokens(WANTED) == 15_000


@pytest.mark.parametrize(
    "message",
    [
        (
            "This model's maximum context length is 40000 tokens. "
            "However, you requested 72000 tokens "
            "(40000 in the messages, 32000 in the completion)."
        ),
        (
            "This model's maximum context length is 8192 tokens. "
            "However, your messages resulted in "
            "9000 tokens. Please reduce the length of the messages."
        ),
        "the request exceeds the available context size, try increasing it",
        "prompt is too long: 210000 tokens > 200000 maximum",
    ],
)
def test_a_full_window_teaches_nothing_and_is_known_for_one(message: str) -> None:
    assert learnt(message) is None
    assert Complaint(message=message).of_a_full_window


@pytest.mark.parametrize("field", ["stream_options", "reasoning_content", "extra_content"])
def test_a_field_that_can_be_left_out_is(field: str) -> None:
    better = learnt(f"Unknown parameter: 'messages[2].{field}'.", code="unknown_parameter")
    assert better is not None
    assert better.without == {field}


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Invalid value for 'temperature'",
        "Unknown parameter: 'tools'.",
        "'max_tokens' must be an integer",
        "my_max_tokens_2 is not supported",
        "the model `unknown-stream_options-model` is not ready",
        "max_tokens is too large",
        "max_tokens is too large, at most 3",
    ],
)
def test_other_refusals_teach_nothing(message: str) -> None:
    assert learnt(message) is None


words = st.sampled_from(
    [
        "max_tokens",
        "max_completion_tokens",
        "stream_options",
        "reasoning",
        "unsupported",
        "too large: at most ",
        "maximum context length is ",
        " tokens (",
        " in the messages",
        "999999999",
        "300",
        "0",
        "9" * 5000,
        "\x1b[2J\n",
    ]
)


@given(st.lists(st.lists(words, max_size=8), max_size=30))
def test_no_words_teach_for_ever_or_ask_for_more(said: list[list[str]]) -> None:
    dialect, seen = COMPATIBLE, {COMPATIBLE}
    for parts in said:
        better = learnt(" ".join(parts), dialect)
        if better is None or better in seen:
            continue
        assert 256 <= better.tokens(WANTED) <= dialect.tokens(WANTED)
        assert better.without >= dialect.without
        dialect = better
        seen.add(better)
