"""Honest work is not refused: rules that refuse it are switched off by those they annoy."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from policies.decision import Allow, Decision, Deny

Decide = Callable[[str], Decision]
COMMANDS = [
    command
    for name in ("honest.yaml", "honest_builds.yaml", "honest_scripts.yaml")
    for command in yaml.safe_load((Path(__file__).parent / name).read_text("utf-8"))
]


@pytest.mark.parametrize("command", COMMANDS)
def test_an_honest_command_is_allowed_by_default(by_default: Decide, command: str) -> None:
    decision = by_default(command)
    assert not isinstance(decision, Deny), decision.reason
    assert isinstance(decision, Allow)


@pytest.mark.parametrize(
    "command",
    [
        "echo 'curl x'",
        'echo "curl; curl"',
        "grep -rn curl .",
        "ls curl",
        "echo '`curl`'",
        "cat <<'E'\n$(curl) `curl`\ncurl\nE",
        "cat <<\\E\ncurl\nE",
        "cat <<E\ncurl \\$(curl) \\`curl\\`\nE",
        "ls # curl; $(curl)",
        "env A='curl x' ls",
        "A=curl ls",
        "command -v curl",
        "type curl",
        "unset PATH",
        "git diff --stat | cat",
        "git -C src -c user.name=me -c color.ui=false status",
        "ls 2>/dev/null >/tmp/x 2>&1",
        "echo x > src/a.txt; echo y > notes.txt; echo z > ~/x",
        "exec 3>&1",
        "f() { ls; }; f",
        "main() { helper; }; helper() { ls; }; main",
        "/usr/bin/ls /bin/ls",
        "/opt/tool/bin/tool --x",
        "timeout 5 env A=b ls",
        "find . -name '*.py' -exec grep -n x {} +",
        "git stash list",
        "",
        "   ",
        "# only a comment",
    ],
)
def test_text_that_only_mentions_it_is_allowed_narrowly(narrowly: Decide, command: str) -> None:
    decision = narrowly(command)
    assert isinstance(decision, Allow)
    assert decision.notes == ()


def test_a_function_counts_only_where_it_is_certain(narrowly: Decide) -> None:
    assert isinstance(narrowly("go() { ls; }; go; go"), Allow)
    for doubtful in (
        "go; go() { ls; }",
        "(go() { ls; }); go",
        "false && go() { ls; }; go",
        "if ls; then go() { ls; }; fi; go",
        "go() { ls; }; unset -f go; go",
        "go() { ls; } | ls; go",
        "go() { ls; }; env go",
        "go() { ls; }; command go",
        "go() { ls; }; xargs go",
    ):
        assert isinstance(narrowly(doubtful), Deny)


def test_where_the_workspace_may_run_its_programs_and_scripts_do(by_default: Decide) -> None:
    for command in ("./run.sh", "build/tool -x", ". .venv/bin/activate", "bash run.sh",
                    "PATH=.venv/bin:$PATH pytest", "LD_LIBRARY_PATH=. ./a.out"):  # fmt: skip
        assert isinstance(by_default(command), Allow)


def test_where_it_may_not_none_of_that_does(narrowly: Decide) -> None:
    for command in ("./run.sh", "build/tool -x", ". .venv/bin/activate", "bash run.sh",
                    "PATH=.venv/bin:$PATH ls", "LD_LIBRARY_PATH=. ls"):  # fmt: skip
        decision = narrowly(command)
        assert isinstance(decision, Deny)
        assert "exec_workspace" in decision.rule
