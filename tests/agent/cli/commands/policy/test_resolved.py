"""``moonpool policy show --resolved`` and what ``check`` says of an image, with the engine."""

import json
from typing import Any

import pytest

from command_line.running import Shell

pytestmark = pytest.mark.usefixtures("image")


def test_a_policy_is_shown_as_the_files_that_it_lets_run(moonpool: Shell) -> None:
    done = moonpool("policy", "show", "locked", "--resolved")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    at = lines.index("  pytest  /usr/local/bin/pytest")
    assert lines[at + 1] == "    → /usr/bin/python3.11: needed, its first line names it"
    assert "    /usr/bin/rg" in lines
    assert any(line.startswith("  /usr/lib/") and "libperl" in line for line in lines)
    assert "Landlock rules (--rules prints them)" in lines[-1]


def test_what_git_brings_is_counted(moonpool: Shell) -> None:
    done = moonpool("policy", "show", "default", "--resolved")
    assert "→ /usr/lib/git-core/ (" in done.stdout
    assert "→ /usr/bin/dash: needed" in done.stdout
    assert "not in the image:" not in done.stdout


def test_every_landlock_rule_can_be_printed(moonpool: Shell) -> None:
    done = moonpool("policy", "show", "locked", "--resolved", "--rules")
    rules = done.stdout.partition(" Landlock rules:\n")[2].splitlines()
    assert "  ---l /" in rules
    assert "  r-x- /usr/local/bin/pytest" in rules
    assert len(rules) > 100


def test_the_same_as_json_says_all_of_it(moonpool: Shell) -> None:
    done = moonpool("policy", "show", "read-only", "--resolved", "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    by_program = {rule["program"]: rule for rule in found["rules"]}
    assert by_program["awk"]["file"] == "/usr/bin/mawk"
    assert by_program["awk"]["standing"] == "runs"
    assert "/usr/bin/perl" not in found["executable"]
    reasons = {(one["file"], one["by"], one["reason"]) for one in found["brought"]}
    assert ("/usr/bin/dash", "/usr/bin/git", "needs") in reasons
    assert ("/usr/bin/dash", "/usr/bin/egrep", "interpreter") in reasons


def test_another_image_is_named_as_a_policy_names_one(moonpool: Shell) -> None:
    done = moonpool("policy", "show", "locked", "--resolved", "--image", "python")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "policy locked in image python"


def test_without_the_image_it_says_how_to_get_it(moonpool: Shell) -> None:
    done = moonpool("policy", "show", "locked", "--resolved", "--image", "no-such-image")
    assert done.returncode == 3
    assert "moonpool image build no-such-image" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_goes_with_resolved_goes_with_nothing_else(moonpool: Shell) -> None:
    done = moonpool("policy", "show", "locked", "--rules")
    assert done.returncode == 2
    assert "--resolved" in done.stderr


def test_the_check_of_a_policy_refuses_an_image_that_does_not_exist(moonpool: Shell) -> None:
    (moonpool.directory / "p.yaml").write_text(
        "version: 1\nname: p\nextends: locked\nimage: pyton\n"
    )
    done = moonpool("policy", "check", "p.yaml")
    assert done.returncode == 2
    assert "p.yaml:4:8: image: there is no recipe 'pyton'" in done.stderr
    assert "node, polyglot, python, python3.13, rust; nor does the engine" in done.stderr


def test_the_check_of_a_policy_says_what_can_not_be_held_apart(moonpool: Shell) -> None:
    (moonpool.directory / "p.yaml").write_text(
        "version: 1\nname: p\nextends: locked\ncommands: [pgrep]\n"
    )
    done = moonpool("policy", "check", "p.yaml")
    assert done.returncode == 0
    assert done.stderr == (
        "p.yaml: pgrep can't be held apart from pidwait, pkill here: all are /usr/bin/pgrep\n"
    )
