"""Each page's shell and Python blocks are run in their order, in one directory, as a reader would.

The model is the stand-in of the service that the page names: it takes any task as done. What else a
page counts on stands in `_prepare`. The shell stops at the first command that fails.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from checkout import EXAMPLES
from command_line.running import CACHE_HOME
from documentation.examples import Example, examples
from fakes.git import git
from standins.anthropic import listing
from standins.anthropic.server import StandIn
from standins.exchange.replies import Answer

LONGEST_S = 300
KEY = "..."
"""As the start page writes it."""


def _is_run(found: list[Example]) -> bool:
    return any(it.language in {"sh", "python"} and it.is_run for it in found)


_RUN = {
    page: list(found)
    for page, found in groupby(
        (it for it in examples() if it.is_file or it.is_run), key=lambda it: it.page
    )
}


@pytest.fixture
def service() -> Iterator[StandIn]:
    """Says that it is done, whatever it is asked."""
    with StandIn(key=KEY) as standing:
        standing.models = [listing.model("claude-opus-5-5")]
        standing.instead = lambda: Answer(blocks=("Done.",), stop="end_turn")
        yield standing


@pytest.fixture
def environ(tmp_path: Path, service: StandIn) -> dict[str, str]:
    """A reader's: a key, and a model that a script plays unless another is named."""
    for name in ("home", "config", "state", "here"):
        (tmp_path / name).mkdir()
    script = EXAMPLES / "calculator.script.yaml"
    config = tmp_path / "config/config.yaml"
    config.write_text(f"version: 1\nmodel: script:{script}\n")
    config.chmod(0o600)
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path / "home"),
        "LANG": "C.UTF-8",
        "XDG_CACHE_HOME": CACHE_HOME,
        "MOONPOOL_HOME": str(tmp_path / "state"),
        "MOONPOOL_CONFIG": str(config),
        "ANTHROPIC_BASE_URL": service.url,
        "ANTHROPIC_API_KEY": KEY,
    }


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page, found in _RUN.items() if _is_run(found)])
@pytest.mark.usefixtures("engine", "image")
def test_the_blocks_of_a_page_do_what_they_say(
    page: str, environ: dict[str, str], service: StandIn, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    _prepare(here)
    shell = "\n".join(it.text for it in _RUN[page] if it.language == "sh" and it.is_run)
    if " last" in shell:
        _run("moonpool run 'Fix the tests.' -w path/to/repo --verify 'pytest -q'", here, environ)
    for example in _RUN[page]:
        if example.is_file:
            example.write(here)
        elif example.language == "sh":
            _run(example.text, here, environ, str(example))
        elif example.language == "python":
            file = tmp_path / "block.py"
            file.write_text(example.text)
            _run(f"python -P -W error {file}", here, environ, str(example))
    assert [request.fault for request in service.requests if request.fault] == []


def _prepare(here: Path) -> None:
    """What a reader has: the examples, a repository with failing tests, and two that are fine."""
    shutil.copytree(EXAMPLES, here / "examples")
    shutil.copytree(EXAMPLES / "calculator", here / "path/to/repo")
    for name in ("parser", "dates"):
        (here / "repos" / name).mkdir(parents=True)
        (here / "repos" / name / "test_it.py").write_text("def test_it():\n    assert True\n")
    git(here / "repos/dates", "init", "-q")
    git(here / "repos/dates", "add", ".")
    git(here / "repos/dates", "commit", "-q", "-m", "all")
    git(here / "repos/dates", "tag", "v1.4")


def _run(text: str, directory: Path, environ: dict[str, str], called: str = "beforehand") -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -eu -o pipefail\n{text}"],
        cwd=directory,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert done.returncode == 0, f"{called}\n{text}\n{done.stdout}{done.stderr}"
