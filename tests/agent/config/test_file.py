"""``config.yaml``: what may stand in it, who may write it, and that no secret comes out of it."""

import os
import stat
from pathlib import Path

import pytest

from agent.config.file import ConfigurationError, load, refuse_other_writers
from agent.config.secrets import masked
from agent.config.values import (
    AnthropicApi,
    Bedrock,
    Configuration,
    OpenAIService,
    TelemetryConfig,
    Vertex,
)
from policies.errors import PolicyError, Where

KEY = "sk-ant-api03-abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    folder.mkdir(mode=0o700)
    path = folder / "config.yaml"
    path.touch(0o600)
    return path


def complaint(file: Path, text: str | bytes) -> str:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError) as caught:
        load(file)
    return str(caught.value)


def wrong(file: Path, text: str) -> str:
    """The complaint about a file that is right but for this."""
    return complaint(file, f"version: 1\n{text}\n")


def test_everything_it_can_say_is_understood(file: Path) -> None:
    file.write_text(
        """\
version: 1
model: openai:qwen3-coder
policy: strict
providers:
  anthropic: {base_url: "https://gateway.example.org/anthropic", api_key_env: GATEWAY_KEY}
  openai: {base_url: "http://localhost:11434/v1", api_key_env: LOCAL_KEY}
prices: prices.yaml
instructions: /etc/moonpool/instructions.md
context_files: false
max_output_tokens: 8192
telemetry: {otlp_endpoint: "https://collector.example.org:4318", headers_env: OTLP_HEADERS}
"""
    )
    found = load(file)
    assert found.model == "openai:qwen3-coder"
    assert found.policy == "strict"
    assert found.anthropic == AnthropicApi(
        base_url="https://gateway.example.org/anthropic", api_key_env="GATEWAY_KEY"
    )
    assert found.openai == OpenAIService(
        base_url="http://localhost:11434/v1", api_key_env="LOCAL_KEY"
    )
    assert found.prices == file.parent / "prices.yaml"
    assert found.instructions == Path("/etc/moonpool/instructions.md")
    assert found.context_files is False
    assert found.max_output_tokens == 8192
    assert found.telemetry == TelemetryConfig(
        otlp_endpoint="https://collector.example.org:4318", headers_env="OTLP_HEADERS"
    )
    assert set(found.secret_variables()) == {"GATEWAY_KEY", "LOCAL_KEY", "OTLP_HEADERS"}
    assert found.lines["telemetry.headers_env"] == 11


def test_a_version_is_enough_and_says_nothing(file: Path) -> None:
    file.write_text("version: 1\n")
    assert load(file) == Configuration(file=file, lines={"version": 1})


def test_a_cloud_is_named_with_its_places(file: Path) -> None:
    file.write_text(
        "version: 1\nproviders: {anthropic: {service: bedrock, region: eu-central-1}}\n"
    )
    assert load(file).anthropic == Bedrock(region="eu-central-1")
    file.write_text(
        "version: 1\nproviders: {anthropic: {service: vertex, region: eu, project: my-p}}\n"
    )
    assert load(file).anthropic == Vertex(region="eu", project="my-p")


def test_a_policy_is_a_name_or_a_file_beside_the_configuration(file: Path) -> None:
    file.write_text("version: 1\npolicy: mine.yaml\n")
    assert load(file).policy == str(file.parent / "mine.yaml")
    file.write_text("version: 1\npolicy: ~/mine.yaml\n")
    assert load(file).policy == str(Path.home() / "mine.yaml")


def test_a_wrong_key_is_shown_in_its_place(file: Path) -> None:
    assert wrong(file, "providers:\n  anthropic: {servce: api}").splitlines() == [
        f"{file}:3:15: providers.anthropic.servce: unknown key; did you mean `service`?",
        "      anthropic: {servce: api}",
        "                  ^^^^^^",
    ]


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("model: 7", "2:8: model", "expected text, got 7"),
        ("model:", "2:7: model", "expected a value, or no key"),
        ("model: '  '", "2:8: model", "is empty"),
        ('model: "a\\nb"', "2:8: model", "can't be seen"),
        ('model: "a\\e[2J"', "2:8: model", "can't be seen"),
        ("policy: [a]", "2:9: policy", "expected text, got a list"),
        ("context_files: yes", "2:16: context_files", "expected true or false"),
        ("context_files: 1", "2:16: context_files", "expected true or false"),
        ("providers: {}\nprovider: {}", "3:1: provider", "did you mean `providers`"),
        ("providers: {mistral: {}}", "2:13: providers.mistral", "known here: anthropic, openai"),
        ("providers: []", "2:12: providers", "expected a mapping"),
        ("telemetry: {}", "2:12: telemetry.otlp_endpoint", "is missing"),
        ("<<: {model: a}", "2:1", "merge keys"),
        ("model: &a x", "2:8: model", "anchors are not used in a configuration"),
        ("model: *a", "2:8: model", "aliases are not used in a configuration"),
        ("model: !!python/name:os.system x", "2:8: model", "tags"),
        ("model: a\nmodel: b", "3:1: model", "there already, in line 2"),
        ("? [a]\n: b", "2:3", "a key must be a plain word"),
        ("--- {}", "2:1", "one document"),
        ("model: [", "3:1", "not YAML"),
        ("\tmodel: a", "2:1", "tab"),
    ],
)
def test_a_wrong_line_is_told_where_and_why(file: Path, text: str, place: str, says: str) -> None:
    found = wrong(file, text)
    assert found.startswith(f"{file}:{place}")
    assert says in found.splitlines()[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a configuration is a mapping that starts with `version: 1`, and this file is empty"),
        ("- a\n", "a configuration is a mapping"),
        ("model: a\n", "version: is missing"),
        ("version: 2\nnonsense: 1\n", "this Moonpool reads version 1, not 2"),
        ("version: true\n", "reads version 1, not true"),
        (b"version: 1\nmodel: \xff\n", "2:8: is not UTF-8 text"),
        ("version: 1\nmodel: \x07\n", "a character that YAML does not allow"),
        ("version: 1\n" + "#" * (200 * 1024), "is larger than 128 KiB"),
        ("version: 1\nmodel: " + "[" * 100_000, "nested deeper than"),
        ("version: 1\nmodel: " + "{a: " * 100_000, "nested deeper than"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_so(
    file: Path, text: str | bytes, says: str
) -> None:
    if isinstance(text, str) and len(text) > 130_000 and "larger" not in says:
        text = text[:130_000]
    assert says in complaint(file, text)


def test_a_bomb_of_aliases_is_refused_before_it_grows(file: Path) -> None:
    bomb = "a: &a [x, x, x]\n" + "".join(
        f"{new}: &{new} [*{old}, *{old}, *{old}]\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "anchors are not used" in wrong(file, bomb)


def test_many_complaints_are_shown_up_to_a_number(file: Path) -> None:
    found = wrong(file, "\n".join(f"key{number}: 1" for number in range(20)))
    assert found.count("unknown key") == 5
    assert found.endswith("and 15 more")


@pytest.mark.parametrize(
    ("service", "key", "says"),
    [
        ("bedrock", "api_key_env: A", "goes with `service: api`, and this is bedrock"),
        ("vertex", "auth_token_env: A", "goes with `service: api`, and this is vertex"),
        ("bedrock", "project: p", "goes with `service: vertex`"),
        ("api", "region: eu", "goes with `service: bedrock or vertex`"),
        ("api", "api_key_env: A, auth_token_env: B", "only one of them would be used"),
    ],
)
def test_what_the_service_does_not_have_is_refused(
    file: Path, service: str, key: str, says: str
) -> None:
    found = wrong(file, f"providers: {{anthropic: {{service: {service}, {key}}}}}")
    assert says in found
    assert f"{file}:2:" in found


# -- what it may not hold ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        f"providers: {{anthropic: {{api_key_env: {KEY}}}}}",
        f"providers: {{anthropic: {{api_key: {KEY}}}}}",
        f"providers:\n  anthropic:\n    api_key: |\n      {KEY}",
        f"providers: {{openai: {{base_url: 'https://x.example/{KEY}'}}}}",
        f"model: {KEY}",
        f"{KEY}: 1",
        f"notes: [{{deep: [{KEY}]}}]",
        "providers: {openai: {api_key_env: AKIAIOSFODNN7EXAMPLE}}",
        "telemetry: {otlp_endpoint: 'https://x.example', headers_env: 'Bearer abcdefghijkl'}",
        "instructions: ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    ],
)
def test_a_key_is_refused_wherever_it_stands_and_never_shown(file: Path, text: str) -> None:
    found = wrong(file, text)
    assert "this looks like a key itself" in found
    assert "environment variable" in found
    for secret in (KEY, "AKIAIOSFODNN7EXAMPLE", "abcdefghijkl", "sk-ant"):
        assert secret not in found


@pytest.mark.parametrize(
    "text",
    [
        "providers: {anthropic: {api_key: hunter2-x}}",
        "providers: {anthropic: {api_key: 'hunter2-x, y'}}",
        "providers: {anthropic: {token: hunter2-x}}",
        "providers: {openai: {servce: a, password: hunter2-x}}",
        "providers: {openai: {api_key: HUNTER2-X, servce: a}}",
        "providers: {openai: {api_key_env: hunter2-x}}",
        "providers: {openai: {api_key_env: 'hunter2-x'}}",
        "telemetry: {headers: 'x-team=hunter2-x', otlp_endpoint: 7}",
        "telemetry: {headers: {x-team: hunter2-x}, otlp_endpoint: 7}",
        "providers: {openai: {base_url: 'https://me:hunter2-x@host.example'}}",
        "providers: {openai: {base_url: 'https://hunter2-x@host.example'}}",
        "api_key: hunter2-x: [",
    ],
)
def test_a_password_of_any_shape_is_not_shown_with_the_complaint(file: Path, text: str) -> None:
    found = wrong(file, text)
    assert "hunter2" not in found.lower()
    assert f"{file}:2:" in found


def test_what_is_blotted_out_keeps_its_length() -> None:
    for line in (f"api_key: {KEY}", "url: https://a:b@c", "api_key_env: A_KEY", "model: x"):
        assert len(masked(line)) == len(line)
    assert masked("api_key_env: A_KEY, region: eu") == "api_key_env: A_KEY, region: eu"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://host.example",
        "host.example",
        "https://",
        "https:///path",
        "https://user:secret@host.example",
        "https://user@host.example",
        "https://host.example\\@evil.example",
        "https://host.example?key=1",
        "https://host.example#x",
        "https://host.example:99999",
        "https://host.example:x",
        "https://host.example/a b",
        "https://höst.example",
        "https://[::1",
        "javascript:alert(1)",
        "//host.example",
        "",
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        "providers: {{openai: {{base_url: '{}'}}}}",
        "providers: {{anthropic: {{base_url: '{}'}}}}",
        "telemetry: {{otlp_endpoint: '{}'}}",
    ],
)
def test_an_address_that_is_none_is_refused(file: Path, place: str, url: str) -> None:
    assert f"{file}:2:" in wrong(file, place.format(url))


@pytest.mark.parametrize("newline", ["\\n", "\\r", "\\t", "\\0", "\\e"])
def test_an_address_with_a_control_character_is_refused(file: Path, newline: str) -> None:
    """The standard library would take some of them out in silence, and connect."""
    found = wrong(file, f'providers: {{openai: {{base_url: "https://a.example{newline}.b"}}}}')
    assert "a character that no URL has" in found


@pytest.mark.parametrize("region", ["a/b", "x.evil.example", "EU", "eu#", "-a", "eu\\n", "eu@b"])
def test_a_region_is_no_way_to_another_host(file: Path, region: str) -> None:
    found = wrong(file, f'providers: {{anthropic: {{service: bedrock, region: "{region}"}}}}')
    assert "is not the name of a region" in found


def test_no_complaint_can_steer_the_terminal_or_forge_a_line(file: Path) -> None:
    found = wrong(file, '"a\\nmoonpool: all is well\\e[2J": 1')
    assert "\x1b" not in found
    assert not any(line.startswith("moonpool") for line in found.splitlines())


# -- who may write it -------------------------------------------------------------------------


@pytest.mark.parametrize("bit", [stat.S_IWGRP, stat.S_IWOTH])
def test_a_file_that_others_may_write_is_refused(file: Path, bit: int) -> None:
    file.write_text("version: 1\n")
    file.chmod(0o600 | bit)
    with pytest.raises(ConfigurationError, match=f"may be written by others: chmod go-w {file}"):
        load(file)


@pytest.mark.parametrize("bit", [stat.S_IWGRP, stat.S_IWOTH])
def test_a_folder_that_others_may_write_is_refused(file: Path, bit: int) -> None:
    file.write_text("version: 1\n")
    file.parent.chmod(0o700 | bit)
    with pytest.raises(ConfigurationError, match=f"chmod go-w {file.parent}$"):
        load(file)


def test_a_folder_where_others_can_only_add_files_is_none_of_it(file: Path) -> None:
    file.write_text("version: 1\n")
    file.parent.chmod(0o1777)
    assert load(file).file == file


def test_what_a_link_leads_to_is_what_others_may_not_write(file: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    target = tmp_path / "shared" / "real.yaml"
    target.write_text("version: 1\n")
    target.chmod(0o600)
    file.unlink()
    file.symlink_to(target)
    assert load(file).file == file
    (tmp_path / "shared").chmod(0o777)
    with pytest.raises(ConfigurationError, match=r"shared$"):
        load(file)


def test_a_file_of_another_user_is_refused(file: Path) -> None:
    # A test that is not root can't make one.
    another = os.stat_result((stat.S_IFREG | 0o600, 1, 1, 1, os.geteuid() + 1, 0, 0, 0, 0, 0))
    with pytest.raises(PolicyError, match="belongs to another user"):
        refuse_other_writers(file, another, Where(file="config.yaml", line=0))


def test_what_is_no_file_is_not_waited_for(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read: Is a directory"):
        load(tmp_path)
    file.unlink()
    with pytest.raises(ConfigurationError, match="can't be read: No such file"):
        load(file)
    os.mkfifo(file)
    with pytest.raises(ConfigurationError, match="is not a file"):
        load(file)
    file.unlink()
    file.symlink_to(file)
    with pytest.raises(ConfigurationError, match="can't be read: Too many levels"):
        load(file)
