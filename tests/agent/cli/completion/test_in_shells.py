"""The scripts in real shells. Bash is there wherever the suite runs; the others where they are."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from command_line.running import SCRIPT, Shell

HOSTILE = (
    *("2026 a b", "2026-$(touch canary-1)", "2026-`touch canary-2`", "2026-;touch canary-3"),
    *("2026-'q'", '2026-"d"', "2026-&&touch canary-4", "2026-*", "2026-~", "2026-\\", "2026-!x"),
)

ASK_BASH = r"""
eval "$SCRIPT"
line=$1
COMP_LINE=$line COMP_POINT=${#line}
compopt() { :; }
_moonpool
for reply in "${COMPREPLY[@]}"; do printf '%s\0' "$reply"; done
"""


def in_bash(moonpool: Shell, line: str, script: str | None = None) -> list[str]:
    """What bash would put in place of the last word, as it would put it."""
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK_BASH, "bash", line],
        cwd=moonpool.directory,
        env={**moonpool.environ, "SCRIPT": script or moonpool("completion", "bash").stdout},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\0")[:-1]


def words_of(moonpool: Shell, line: str) -> list[str]:
    """What a command is given once a line is sent off."""
    done = subprocess.run(
        ["bash", "--norc", "-c", f"moonpool() {{ printf '%s\\0' \"$@\"; }}\n{line}"],
        cwd=moonpool.directory,
        env=moonpool.environ,
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout.split("\0")[:-1]


@pytest.fixture
def hostile(moonpool: Shell) -> Iterator[Shell]:
    for name in HOSTILE:
        folder = Path(moonpool.environ["MOONPOOL_HOME"]) / "runs" / name
        folder.mkdir(parents=True)
        summary = {"task": "$(touch canary-5) `touch canary-6` %n", "outcome": "finished"}
        (folder / "run.json").write_text(json.dumps(summary))
    yield moonpool
    assert not list(moonpool.directory.glob("canary-*"))
    shutil.rmtree(Path(moonpool.environ["MOONPOOL_HOME"]) / "runs")


def test_bash_completes_commands_options_and_values(moonpool: Shell) -> None:
    assert in_bash(moonpool, "moonpool appl") == ["apply"]
    assert in_bash(moonpool, "moonpool run 'a task' --verif") == ["--verify"]
    assert in_bash(moonpool, "X=1 /usr/bin/moonpool policy sche") == ["schema"]
    # A colon and an equals sign begin a word anew there.
    assert in_bash(moonpool, "moonpool run x -m anthropic:claude-opus-5-") == ["claude-opus-5-5"]
    assert in_bash(moonpool, "moonpool run x --model=scri") == ["script:"]
    assert in_bash(moonpool, 'moonpool run x -p "lock') == ["locked"]


def test_a_name_is_one_word_of_the_shell_whatever_it_holds(hostile: Shell) -> None:
    offered = in_bash(hostile, "moonpool show 2026")
    assert len(offered) == len(HOSTILE)
    given = words_of(hostile, "".join(f"moonpool show {word}\n" for word in offered))
    assert sorted(word for word in given if word != "show") == sorted(HOSTILE)


def test_in_an_open_quote_only_what_stands_safely_in_it_is_offered(hostile: Shell) -> None:
    for quote in "\"'":
        offered = in_bash(hostile, f"moonpool show {quote}2026")
        assert "2026 a b" in offered
        lines = [f"moonpool show {quote}{word}{quote}" for word in offered]
        given = words_of(hostile, "\n".join(lines))
        assert [word for word in given if word != "show"] == offered


def test_a_program_of_the_current_folder_is_never_asked(moonpool: Shell) -> None:
    script = moonpool("completion", "bash").stdout
    trap = moonpool.directory / "moonpool"
    trap.write_text("#!/bin/sh\ntouch canary\necho; echo; echo owned\n")
    trap.chmod(0o755)
    for name in ("json", "shlex", "tempfile"):
        (moonpool.directory / f"{name}.py").write_text("open('canary', 'w')\n")
    moonpool.environ["PATH"] = f".:{moonpool.environ['PATH']}"
    moonpool.environ["PYTHONPATH"] = f"{moonpool.environ['PYTHONPATH']}:"
    assert in_bash(moonpool, "./moonpool appl", script) == ["apply"]
    assert not (moonpool.directory / "canary").exists()
    for shell in ("bash", "zsh", "fish"):
        assert f"({SCRIPT} completion {shell}" in moonpool("completion", shell).stdout


def test_a_program_that_is_gone_says_nothing(moonpool: Shell) -> None:
    script = moonpool("completion", "bash").stdout.replace(str(SCRIPT), "/nowhere/moonpool")
    assert in_bash(moonpool, "moonpool appl", script) == []


ASK: Mapping[str, tuple[str, ...]] = {
    "zsh": (
        "zsh",
        "-f",
        "-c",
        # The functions of the line editor stand in for what shows and puts in.
        r"""
        compdef() { }; compset() { }; compadd() { print -rn -- ${(pj:\0:)values} }
        eval "$SCRIPT"; words=(moonpool show 2026); CURRENT=3 PREFIX=2026; _moonpool
        """,
    ),
    "fish": (
        "fish",
        "--no-config",
        "-c",
        'echo $SCRIPT | source; complete -C "moonpool show 2026"',
    ),
}


def test_the_other_shells_that_are_here_take_hostile_names_as_they_are(hostile: Shell) -> None:
    for shell, command in ASK.items():
        if shutil.which(shell) is None:
            continue
        done = subprocess.run(
            command,
            cwd=hostile.directory,
            env={**hostile.environ, "SCRIPT": hostile("completion", shell).stdout},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        found = done.stdout.replace("\n", "\0").split("\0")
        assert sorted(line.partition("\t")[0] for line in found if line) == sorted(HOSTILE)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_help_says_where_the_script_goes(moonpool: Shell, shell: str) -> None:
    assert shell in moonpool("completion", "--help").stdout
    assert moonpool("completion", shell).stderr == ""
