"""Every example of README.md and docs/ is what reads it takes, as far as can be known unrun."""

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

import agent.config.file
from agent.batch.tasks.form import TasksFile
from agent.models.script import load as load_script
from checkout import ROOT
from documentation.commands import started, wrong_in_command, wrong_in_shell
from documentation.examples import PAGES, PART, Example, examples, mentions, of, read
from policies.loading import load
from policies.operator.check import broken_examples

MOST_NOT_RUN = 1 / 3
"""Of the blocks that can be run: what is left out is the exception."""

_CHECKED = {"sh", "python", "yaml", "json", "toml", "text"}
_SETTINGS = {"json", "toml"}


def test_every_block_names_its_language() -> None:
    assert [str(it) for it in examples() if not it.language] == []


def test_what_nothing_here_reads_says_so() -> None:
    unread = [it for it in examples() if it.language not in _CHECKED]
    assert [str(it) for it in unread if it.is_run] == []


def test_what_is_not_run_says_why_and_is_the_exception() -> None:
    could_run = of("sh", "python")
    left_out = [it for it in could_run if it.not_run is not None]
    counted = f"not run: {sorted(Counter(it.page for it in left_out).items())}"
    assert len(left_out) <= MOST_NOT_RUN * len(could_run), counted
    without = [it for it in examples() if it.not_run is not None and len(it.not_run.split()) < 3]
    assert [str(it) for it in without] == []


def test_what_is_run_elsewhere_names_a_target_of_make() -> None:
    elsewhere = {it.run_by for it in examples() if it.run_by is not None}
    assert [wrong for line in elsewhere for wrong in wrong_in_shell(line)] == []
    assert all(line.startswith("make ") for line in elsewhere)


@pytest.mark.parametrize("example", of("sh"), ids=str)
def test_a_shell_block_has_commands_options_and_files_that_there_are(example: Example) -> None:
    assert wrong_in_shell(example.text) == []


def test_a_command_within_the_text_is_one() -> None:
    """Its arguments may be left out there, and a name of a group stands for what is below it."""
    shortened = ("Missing argument", "there is no command ''")
    wrong = [
        f"{page}: {what}"
        for page, command in mentions()
        for what in wrong_in_shell(command.replace("moonpool COMMAND ", "moonpool runs "))
        if not any(words in what for words in shortened)
    ]
    assert wrong == []
    assert len(mentions()) > 10


@pytest.mark.parametrize("example", of("python"), ids=str)
def test_a_python_block_compiles(example: Example) -> None:
    compile(example.text, str(example), "exec")


@pytest.mark.parametrize("example", of("yaml"), ids=str)
def test_a_yaml_block_is_taken_by_what_reads_its_file(example: Example, tmp_path: Path) -> None:
    for other in of("yaml"):
        if other.page == example.page and other.is_file:
            other.write(tmp_path)
    file = tmp_path / example.title
    if not example.is_file:
        assert example.title.endswith(PART), "the title names the file that it is"
        file = tmp_path / "part.yaml"
        file.write_text(f"version: 1\nname: part\nextends: default\n{example.text}")
    keys = set(yaml.safe_load(file.read_text()))
    if "tasks" in keys:
        TasksFile.model_validate_json(json.dumps(yaml.safe_load(example.text)))
    elif "turns" in keys:
        load_script(file)
    elif example.run_by is not None:
        assert keys
    elif "jobs" in keys:
        assert example.title.startswith(".github/workflows/")  # test_action looks at these
    elif "name" in keys:
        (tmp_path / "Dockerfile").write_text("FROM moonpool/python\n")
        assert broken_examples(load(str(file))) == ()
    else:
        file.chmod(0o600)
        agent.config.file.load(file)


def test_settings_are_whole_and_start_commands_that_there_are() -> None:
    for example in of(*_SETTINGS):
        decode: Any = json.loads if example.language == "json" else tomllib.loads
        commands = list(started(decode(example.text)))
        assert commands or "moonpool" not in example.text, str(example)
        wrong = [what for words in commands for what in wrong_in_command(words)]
        assert wrong == [], str(example)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("moonpool run x --no-such", "No such option"),
        ("true && moonpool nothing", "no command 'nothing'"),
        ("X=1 moonpool policy", "no command ''"),
        ("if true; then moonpool apply; fi", "Missing argument"),
        ("make nothing", "no target"),
        ("pip install '.[nothing]'", "no extra"),
        ("pip install 'moonpool[ray]'", "no index"),
        ("python benchmarks/nothing.py", "there is no benchmarks"),
        ("echo 'x", "does not parse"),
    ],
)
def test_a_wrong_line_is_found(text: str, wrong: str) -> None:
    assert wrong in " ".join(wrong_in_shell(text))


def test_blocks_are_read_as_they_stand(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# T\n\n<!-- not run: needs a key -->\n```sh\nls\n```\n\nSome text.\n\n"
        '```yaml title="a.yaml"\nx: 1\n```\n\n    indented\n'
    )
    one, two, three = read(page)
    assert (one.language, one.line, one.not_run, one.text) == ("sh", 5, "needs a key", "ls\n")
    assert (two.title, two.not_run) == ("a.yaml", None)
    assert (three.language, three.line) == ("", 14)


def test_command_lines_are_found_in_settings() -> None:
    settings = {"servers": {"m": {"command": "/opt/venv/bin/moonpool", "args": ["runs", "--x"]}}}
    assert list(started(settings)) == [["moonpool", "runs", "--x"]]
    assert list(started([{"command": ["moonpool", "runs"]}])) == [["moonpool", "runs"]]


@pytest.mark.parametrize("page", ["README.md", "SECURITY.md", "AGENTS.md", "CHANGELOG.md"])
def test_a_link_of_a_page_beside_the_site_leads_somewhere(page: str) -> None:
    """Those of docs/ are the site's to check."""
    links = [
        str(child.attrs["href"]).partition("#")[0]
        for token in MarkdownIt().parse((ROOT / page).read_text("utf-8"))
        for child in token.children or ()
        if child.type == "link_open"
    ]
    inside = [link for link in links if link and "://" not in link]
    assert [link for link in inside if not (ROOT / link).exists()] == []


def test_every_page_is_named_by_the_readme_or_another_page() -> None:
    texts = {page: page.read_text("utf-8") for page in PAGES}
    for page in PAGES[1:]:
        others = "".join(text for other, text in texts.items() if other != page)
        assert f"{page.name})" in others or f"{page.name}#" in others, page.name
