"""What services say that they offer, each in its own words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.models.listing import OfferedModel
from agent.models.openai.listing import listed
from agent.models.transport import NotTheApiError


def only(row: object) -> OfferedModel:
    (model,) = listed({"data": [row]})
    return model


@pytest.mark.parametrize(
    ("row", "model"),
    [
        ({"id": "gpt-5.4", "object": "model"}, OfferedModel(id="gpt-5.4")),
        ({"id": "m", "max_model_len": 32768}, OfferedModel(id="m", context_tokens=32768)),
        (
            {"id": "m", "context_window": 131072, "max_completion_tokens": 8192},
            OfferedModel(id="m", context_tokens=131072, output_tokens=8192),
        ),
        (
            {
                "id": "a/m",
                "name": "A: M",
                "context_length": 200000,
                "top_provider": {"max_completion_tokens": 64000},
            },
            OfferedModel(id="a/m", name="A: M", context_tokens=200000, output_tokens=64000),
        ),
    ],
)
def test_what_is_said_is_taken(row: object, model: OfferedModel) -> None:
    assert only(row) == model


def test_a_bare_list_is_one() -> None:
    assert [model.id for model in listed([{"id": "b"}, {"id": "a"}, {"id": "b"}])] == ["a", "b"]


@pytest.mark.parametrize(
    "row",
    [5, None, {}, {"id": 5}, {"id": ""}, {"id": "\x1b[2J"}, {"id": "x" * 1000}, {"id": "a\nb"}],
)
def test_a_row_that_is_no_model_costs_nobody_the_rest(row: object) -> None:
    assert [model.id for model in listed({"data": [row, {"id": "good"}]})] == ["good"]


@pytest.mark.parametrize("count", [-1, 0, True, "5", 10**15, 1.5, float("nan")])
def test_a_count_that_is_none_is_not_said(count: object) -> None:
    assert only({"id": "m", "context_length": count}).context_tokens is None


@pytest.mark.parametrize("answer", [None, 5, "x", {}, {"data": {}}, {"models": []}])
def test_an_answer_without_a_list_is_not_the_apis(answer: object) -> None:
    with pytest.raises(NotTheApiError):
        listed(answer)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.sampled_from(["id", "name", "top_provider"]), json)))
def test_no_list_at_all_is_a_traceback(rows: list[object]) -> None:
    assert all(model.id.isprintable() for model in listed(rows))
