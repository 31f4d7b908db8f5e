"""An answer as it streams: its words are shown, the fence of its call is held back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.models.text_calls.streaming import StreamedWords

LABEL = "call-3fa9c1"
FENCE = f"```{LABEL}\n{{}}\n```"

texts = st.lists(
    st.sampled_from(["```", LABEL, "\n", "`", " ", "call-", "a", FENCE, "```json\n", "é"]),
    max_size=12,
).map("".join)


def cut(text: str, places: list[int]) -> list[str]:
    ends = sorted({place % (len(text) + 1) for place in places} | {len(text)})
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]


@given(texts, st.lists(st.integers(0, 200), max_size=20))
def test_however_it_is_cut_nothing_is_lost_and_nothing_of_a_call_is_shown(
    text: str, places: list[int]
) -> None:
    streamed = StreamedWords(LABEL)
    shown = "".join(streamed.shown(piece) for piece in cut(text, places))
    rest = streamed.rest()
    assert shown + rest == text
    lines = text.split("\n")
    opened = next((n for n, line in enumerate(lines) if line.startswith(f"```{LABEL}")), None)
    if opened is None:
        assert f"```{LABEL}".startswith(rest)
    else:
        assert shown == "".join(f"{line}\n" for line in lines[:opened])


@pytest.mark.parametrize("step", [1, 3, 100])
def test_words_are_shown_as_they_come(step: int) -> None:
    text = f"I look.\nThen `ls`.\n\n{FENCE}"
    streamed = StreamedWords(LABEL)
    shown = [streamed.shown(text[at : at + step]) for at in range(0, len(text), step)]
    assert "".join(shown) == "I look.\nThen `ls`.\n\n"
    assert step > 1 or shown[0] == "I"
