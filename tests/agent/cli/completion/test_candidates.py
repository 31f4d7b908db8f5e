"""What is offered while a person types: by the words before it, and safely."""

import json
import os
import time
from pathlib import Path

import pytest

from agent.cli.completion.table import load
from agent.cli.verbs import VERBS
from command_line.running import Shell
from policies.loading import bundled_names

SUMMARY = {"task": "fix it", "outcome": "finished"}


def run_named(moonpool: Shell, name: str, summary: object = SUMMARY) -> None:
    folder = Path(moonpool.environ["MOONPOOL_HOME"]) / "runs" / name
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(summary))


def offered(moonpool: Shell, *words: str) -> list[str]:
    """The words without what is said of them; zsh and fish get both."""
    done = moonpool("completion", "fish", "--", "moonpool", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition("\t")[0] for line in done.stdout.splitlines()[1:]]


def files_wanted(moonpool: Shell, *words: str) -> str:
    done = moonpool("completion", "zsh", "--", "moonpool", *words)
    return done.stdout.splitlines()[0]


@pytest.fixture
def moonpool(moonpool: Shell, tmp_path: Path) -> Shell:
    moonpool.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    return moonpool


def test_commands_come_first(moonpool: Shell) -> None:
    assert offered(moonpool, "") == list(VERBS.verbs)
    assert offered(moonpool, "re") == ["review", "resume", "replay"]
    assert offered(moonpool, "policy", "s") == ["show", "schema"]
    assert offered(moonpool, "--") == ["--help", "--version"]
    assert offered(moonpool, "nonsense", "") == []


def test_options_are_offered_once_but_those_that_may_come_again(moonpool: Shell) -> None:
    assert offered(moonpool, "run", "x", "--v") == ["--verify"]
    assert offered(moonpool, "run", "--verify", "true", "--v") == []
    twice = offered(moonpool, "run", "--accept-risk", "symlink", "--a")
    assert twice == ["--accept-risk"]
    assert "--check" in offered(moonpool, "apply", "last", "")


def test_a_value_is_completed_by_what_it_is(moonpool: Shell) -> None:
    for name in ("20260102-a", "20260101-b"):
        run_named(moonpool, name)
    assert offered(moonpool, "show", "") == ["last", "20260102-a", "20260101-b"]
    assert offered(moonpool, "show", "2026010") == ["20260102-a", "20260101-b"]
    assert offered(moonpool, "blame", "last", "") == []
    assert set(offered(moonpool, "policy", "show", "")) == set(bundled_names())
    assert offered(moonpool, "run", "x", "-m", "scr") == ["script:"]
    assert "anthropic:claude-opus-5-5" in offered(moonpool, "run", "x", "--model", "anthropic:")
    by_both = [offered(moonpool, "run", "-m", api) for api in ("openai:", "responses:")]
    assert by_both[0]
    assert [name.partition(":")[2] for name in by_both[0]] == [
        name.partition(":")[2] for name in by_both[1]
    ]
    equals = offered(moonpool, "run", "x", "--model=anthropic:claude-opus-5-5")
    assert equals == ["--model=anthropic:claude-opus-5-5"]
    assert offered(moonpool, "image", "build", "p") == ["polyglot", "python", "python3.13"]
    assert offered(moonpool, "run", "--kernel-policy", "") == ["require", "prefer"]
    assert "symlink" in offered(moonpool, "run", "--accept-risk", "sym")
    assert offered(moonpool, "schema", "e") == ["events"]


def test_where_a_file_is_wanted_the_shell_looks_itself(moonpool: Shell) -> None:
    assert files_wanted(moonpool, "run", "-w", "") == "folders"
    assert files_wanted(moonpool, "run", "--prices", "") == "files"
    assert files_wanted(moonpool, "policy", "check", "") == "files"
    assert files_wanted(moonpool, "run", "-m", "script:") == "files"
    assert files_wanted(moonpool, "show", "") == ""


def test_the_operators_own_policies_and_models_are_offered(moonpool: Shell) -> None:
    config = Path(moonpool.environ["HOME"]) / ".config/moonpool"
    assert offered(moonpool, "run", "-p", "mi") == []
    (config / "policies").mkdir(parents=True)
    (config / "policies" / "mine.yaml").write_text("")
    assert offered(moonpool, "run", "-p", "mi") == ["mine"]
    (config / "config.yaml").write_text("version: 1\nmodel: openai:my-own\nprices: p.yaml\n")
    (config / "p.yaml").write_text(
        "version: 1\nmodels: [{model: openai:priced, usd_per_million: {input: 1, output: 1}}]\n"
    )
    assert {"openai:my-own", "openai:priced"} <= set(offered(moonpool, "run", "-m", "openai:"))
    (config / "config.yaml").write_text("version: 1\nmodel: openai:another\n")
    os.utime(config / "config.yaml", (time.time() + 5,) * 2)
    found = offered(moonpool, "run", "-m", "openai:")
    assert "openai:another" in found
    assert "openai:my-own" not in found
    (config / "config.yaml").write_text("nonsense")
    assert "anthropic:claude-opus-5-5" in offered(moonpool, "run", "-m", "anthropic:")


@pytest.mark.parametrize("summary", [[], {"task": 3}, {"outcome": "x"}, "\udcff", {}])
def test_a_run_that_can_not_be_read_is_offered_all_the_same(
    moonpool: Shell, summary: object
) -> None:
    run_named(moonpool, "20260101-a", summary)
    assert offered(moonpool, "show", "2") == ["20260101-a"]


def test_what_acts_on_a_terminal_is_never_offered_nor_said(moonpool: Shell) -> None:
    hostile = {"task": "\x1b]0;owned\x07 two\nlines \u202e", "outcome": "finished"}
    run_named(moonpool, "20260101-a", hostile)
    for name in ("20260101-\x1b[2J", "20260101-\n20269999", "--patch", "20260101-\u202e"):
        run_named(moonpool, name)
    done = moonpool("completion", "zsh", "--", "moonpool", "show", "2")
    shown = done.stdout.splitlines()
    assert [line.partition("\t")[0] for line in shown] == ["", "20260101-a"]
    assert done.stdout.replace("\n", "").replace("\t", "").isprintable()
    assert "--patch" not in offered(moonpool, "blame", "-")


def test_a_completion_imports_no_command_and_no_sdk(moonpool: Shell) -> None:
    words = ("completion", "zsh", "--", "moonpool", "run", "-m", "")
    assert moonpool(*words).returncode == 0
    done = moonpool(*words, env={"PYTHONPROFILEIMPORTTIME": "1"})
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "agent.cli.completion.table" in loaded
    assert not loaded & {
        *("anthropic", "docker", "openai", "pydantic", "yaml", "rich", "sandbox", "images"),
        *(
            "agent.cli.commands.run",
            "agent.models",
            "agent.record",
            "asyncio",
            "importlib.metadata",
        ),
    }


@pytest.mark.parametrize("kept", [b"{", b"[]", b'{"form": 1}', b"\xff", b"[" * 10_000])
def test_a_damaged_cache_is_made_again(
    moonpool: Shell, tmp_path: Path, kept: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert offered(moonpool, "runs", "--j") == ["--json"]
    (cache,) = (tmp_path / "cache").rglob("completion.json")
    good = cache.read_bytes()
    cache.write_bytes(kept)
    assert offered(moonpool, "runs", "--j") == ["--json"]
    assert json.loads(cache.read_bytes()).keys() == json.loads(good).keys()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", moonpool.environ["HOME"])
    cache.unlink()
    assert load() == load()


def test_without_a_place_for_a_cache_it_works_all_the_same(moonpool: Shell) -> None:
    done = moonpool(
        *("completion", "fish", "--", "moonpool", "runs", "--j"),
        env={"XDG_CACHE_HOME": "/proc/nowhere"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "--json" in done.stdout
