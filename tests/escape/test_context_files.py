"""AGENTS.md of a hostile repository, in a real container: read there, and never on the host."""

from collections.abc import Callable
from pathlib import Path

import pytest

from agent.conversation.prompts import LARGEST_BYTES, context_of
from escape.conftest import Standing
from policies.loading import load
from policies.policy import Policy
from sandbox.sandbox import Sandbox


def test_a_link_leads_to_what_is_in_the_container(
    workspace: Path, tmp_path: Path, open_box: Callable[[], Sandbox]
) -> None:
    secret = tmp_path / "host-secret"
    secret.write_text("of the host\n")
    (workspace / "AGENTS.md").symlink_to(secret)
    (workspace / "CLAUDE.md").symlink_to("/etc/passwd")
    context = context_of(open_box(), load("default"))
    hosts = Path("/etc/passwd").read_text()
    assert context is not None
    assert "of the host" not in context.text
    assert [file.name for file in context.files] == ["CLAUDE.md"]
    shown = context.text.split("begins\n")[1]
    assert not set(hosts.splitlines()) <= set(shown.splitlines())


@pytest.mark.parametrize(
    "made",
    [
        "import os; os.mkfifo('AGENTS.md')",
        "import os; os.mkdir('AGENTS.md')",
        "import os; os.symlink('AGENTS.md', 'AGENTS.md')",
        "import os; os.symlink('/dev/zero', 'AGENTS.md')",
        "import os; os.symlink('/proc/1/environ', 'AGENTS.md')",
        "import os; os.symlink('/proc/self/fd/0', 'AGENTS.md')",
        "import socket; socket.socket(socket.AF_UNIX).bind('AGENTS.md')",
    ],
)
def test_what_is_no_file_is_passed_over_and_never_waited_for(
    standing: Standing, default_policy: Policy, made: str
) -> None:
    box = standing("default")
    assert box.run(f'rm -rf AGENTS.md; python3 -c "{made}"').exit_code == 0
    assert context_of(box, default_policy) is None
    assert box.run("echo alive").stdout == b"alive\n"


@pytest.mark.slow
def test_a_huge_one_is_read_as_far_as_it_is_shown(
    workspace: Path, open_box: Callable[[], Sandbox]
) -> None:
    with (workspace / "AGENTS.md").open("wb") as file:
        file.write(b"x" * (100 << 20))
    context = context_of(open_box(), load("default"))
    assert context is not None
    assert len(context.text) < LARGEST_BYTES + 2000
