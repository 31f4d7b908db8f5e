"""What models cost stands in data with its source; a name gets the price of that name only."""

from importlib import resources
from pathlib import Path

import pytest
import yaml

from agent.errors import UsageError
from agent.models.interface import Usage
from agent.models.price_list import decode, load
from agent.models.pricing import UNKNOWN, ModelInfo, facts_of
from standins.anthropic.rules import KNOWN_MODELS
from standins.responses import rules as responses_rules

HEAD = "version: 1\nmodels:\n"


def usual(facts: ModelInfo) -> tuple[float, float]:
    assert facts.prices is not None
    return facts.prices.usual.input, facts.prices.usual.output


def test_every_figure_of_ours_has_its_source_and_its_day() -> None:
    text = (resources.files("agent.models") / "prices.yaml").read_text()
    for model in yaml.safe_load(text)["models"]:
        assert model["source"], model
        assert model["seen"], model


def test_every_model_we_price_is_one_that_the_sdk_lists() -> None:
    text = (resources.files("agent.models") / "prices.yaml").read_text()
    names = [model["model"] for model in yaml.safe_load(text)["models"]]
    ours = {name.removeprefix("anthropic:") for name in names if name.startswith("anthropic:")}
    assert ours <= KNOWN_MODELS
    openais = {name.removeprefix("openai:") for name in names if name.startswith("openai:")}
    assert openais
    assert openais <= responses_rules.KNOWN_MODELS


@pytest.mark.parametrize(
    "name",
    [
        "anthropic:claude-opus-5-6",
        "anthropic:claude-opus-5-5-turbo",
        "anthropic:claude-opus",
        "anthropic:claude-opus-5-2026",
        "bedrock:claude-opus-5-5",
        "openai:claude-opus-5-5",
        "claude-opus-5-5",
        "anthropic:claude-fable-5-2",
    ],
)
def test_a_name_that_only_begins_like_another_has_no_price(name: str) -> None:
    assert facts_of(name) is UNKNOWN


def test_a_date_behind_a_name_is_the_same_model() -> None:
    plain = facts_of("anthropic:claude-opus-5")
    assert facts_of("anthropic:claude-opus-5-20260724") == plain
    assert facts_of("anthropic:claude-opus-5@20260724") == plain
    assert usual(plain) != usual(facts_of("anthropic:claude-opus-5-5"))


def test_both_apis_of_a_service_have_one_price_and_its_own_name_is_before_the_others() -> None:
    assert facts_of("responses:gpt-6.2-sol") == facts_of("openai:gpt-6.2-sol") != UNKNOWN
    assert facts_of("responses:gpt-6.2-sol-2026-11-17") == facts_of("openai:gpt-6.2-sol")
    assert facts_of("responses:gpt-6.2-sol", listed=False) is UNKNOWN
    assert facts_of("responses:gpt-6.2-sol-pro") is UNKNOWN
    own = decode(
        HEAD
        + "  - {model: openai:x, usd_per_million: {input: 1, output: 2}}\n"
        + "  - {model: openai:y, usd_per_million: {input: 1, output: 2}}\n"
        + "  - {model: 'responses:*', usd_per_million: {input: 3, output: 4}}\n",
        file="own.yaml",
    )
    assert usual(facts_of("responses:x", own)) == (3, 4)
    assert usual(facts_of("openai:x", own)) == (1, 2)
    assert usual(facts_of("responses:x", own[:2])) == (1, 2)


def test_a_long_prompt_costs_what_openai_says_for_all_of_it() -> None:
    prices = facts_of("responses:gpt-6.2-sol").prices
    assert prices is not None
    assert prices.usd(Usage(input_tokens=200_000, output_tokens=100_000)) == pytest.approx(1.4)
    assert prices.usd(Usage(input_tokens=300_000, output_tokens=100_000)) == pytest.approx(2.7)
    cached = Usage(cache_read_tokens=272_001, output_tokens=100_000)
    assert prices.usd(cached) == pytest.approx(272_001 * 0.20 / 1e6 + 1.5)


def test_the_operators_price_is_before_ours_and_the_longest_name_is_meant() -> None:
    own = decode(
        HEAD
        + "  - {model: anthropic:*, usd_per_million: {input: 1, output: 2}}\n"
        + "  - {model: anthropic:claude-opus-5*, usd_per_million: {input: 3, output: 4}}\n"
        + "  - {model: anthropic:claude-opus-5-5, usd_per_million: {input: 5, output: 6}}\n",
        file="own.yaml",
    )
    assert usual(facts_of("anthropic:claude-haiku-4-5", own)) == (1, 2)
    assert usual(facts_of("anthropic:claude-opus-5", own)) == (3, 4)
    assert usual(facts_of("anthropic:claude-opus-5-5", own)) == (5, 6)
    assert "own.yaml" in facts_of("anthropic:claude-opus-5", own).source


def test_cached_tokens_cost_as_others_where_no_price_of_theirs_is_given() -> None:
    own = decode(HEAD + "  - {model: openai:x, usd_per_million: {input: 3, output: 4}}", file="p")
    prices = facts_of("openai:x", own).prices
    assert prices is not None
    assert prices.usd(Usage(cache_read_tokens=1_000_000, cache_write_tokens=1_000_000)) == 6


def test_a_recorded_conversation_costs_nothing_and_says_so() -> None:
    facts = facts_of("script:any/file.yaml")
    assert usual(facts) == (0, 0)
    assert facts.source


def test_a_price_of_zero_is_a_price() -> None:
    own = decode(HEAD + "  - {model: openai:*, usd_per_million: {input: 0, output: 0}}", file="p")
    assert usual(facts_of("openai:local", own)) == (0, 0)


RATES = "usd_per_million: {input: %s, output: 2}"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "p.yaml:1:1", "version: 1"),
        ("version: 2\nmodels: []", "p.yaml:1:10", "version"),
        ("version: 1\nmodels: []", "p.yaml:2:9", "models"),
        ("version: 1", "p.yaml:1:1", "models is missing"),
        (HEAD + "  - {}", "p.yaml:3:5", "model is missing"),
        (HEAD + "  - model: gpt", "p.yaml:3:12", "model"),
        (HEAD + "  - model: 'openai:a*b'", "p.yaml:3:12", "model"),
        (HEAD + "  - model: openai:x\n    price: 3", "p.yaml:4:5", "is no key"),
        (HEAD + "  - model: openai:x\n    context_tokens: 0", "p.yaml:4:21", "context_tokens"),
        (HEAD + "  - model: openai:x\n    seen: soon", "p.yaml:4:11", "seen"),
        (HEAD + '  - model: openai:x\n    source: "\\e[31m"', "p.yaml:4:13", "source"),
        (HEAD + "  - model: openai:x\n  - model: openai:x", "p.yaml:4:12", "already"),
        (HEAD + "  - &a {model: openai:x}\n  - *a", "p.yaml:3:5", "anchors"),
        (HEAD + "  - model: openai:x\n    model: openai:y", "p.yaml:4:5", "already"),
        (
            HEAD + "  - model: openai:x\n    long_prompt: {over_tokens: 1, " + RATES % 1 + "}",
            "p.yaml:3:5",
            "usd_per_million",
        ),
        *(
            (HEAD + "  - model: openai:x\n    " + RATES % wrong, "p.yaml:4:30", "input")
            for wrong in (
                "-1",
                "-0.01",
                ".nan",
                ".inf",
                "-.inf",
                "1e3",
                "true",
                "null",
                "'1'",
                "1e999",
            )
        ),
        (HEAD + "  - model: openai:x\n    " + RATES % "999999999", "p.yaml:4:30", "input"),
    ],
)
def test_a_wrong_prices_file_is_told_with_its_place(text: str, place: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        decode(text, file="p.yaml")
    said = str(caught.value)
    assert said.startswith(f"{place}:"), said
    assert words in said
    assert "policy" not in said
    assert "\n" not in said


def test_a_prices_file_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(UsageError, match="is not a file"):
        load(tmp_path)
    (tmp_path / "large.yaml").write_bytes(b"#" * 200_000)
    with pytest.raises(UsageError, match="larger"):
        load(tmp_path / "large.yaml")
