"""What the check allows, beside what bash then starts: text that is read otherwise starts more."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from policies.decision import Allow, Call, decide
from policies.policy import Policy

PIECES = [
    "${x", "${x/", "${x:-", "${x:+", "${x%%", "${x^^", "/", "}", "}", " ", " ", "\n", "\n", "\t",
    "'", '"', "\\", "\\\n", "a", "b", "$x", "$(", ")", "`", ";", "#", "echo", "ls", "curl", "=",
    "*",
]  # fmt: skip
"""Nothing of it writes a file, and nothing of it is a program but by the three names."""
several = st.lists(st.sampled_from(PIECES), max_size=9).map("".join)


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside each other: what may be started, and what leaves a mark when it is."""
    directory = tmp_path_factory.mktemp("programs")
    for name, does in (("ls", ":"), ("curl", 'echo started >>"${0%/*}/mark"')):
        (directory / name).write_text(f"#!/bin/sh\n{does}\n")
        (directory / name).chmod(0o755)
    return directory


def starts_curl(text: str, programs: Path) -> bool:
    """Whether bash does, that is given the text."""
    mark = programs / "mark"
    mark.unlink(missing_ok=True)
    subprocess.run(
        ["/bin/bash", "--norc", "-c", text],
        env={"PATH": str(programs), "x": "aab"},
        cwd=programs,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return mark.exists()


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    middle=several,
    end=st.sampled_from(["}", '}"', "", ")}"]),
    after=st.sampled_from(["ls", "curl"]),
)
@example(middle="${x/a/b c", end="}", after="curl")
@example(middle="${x:-\ncurl", end="}", after="ls")
@example(middle="${x:-'}\ncurl\n'", end="}", after="ls")
@example(middle="\"${x:-'}\ncurl\n'", end='}"', after="ls")
def test_blanks_within_an_expansion_hide_no_command_of_the_lines_beside_it(
    narrow: Policy, programs: Path, middle: str, end: str, after: str
) -> None:
    text = f"echo {middle}{end}\n{after}"
    decision = decide(narrow, Call(tool="bash", arguments={"command": text}))
    # Of a word that only the run can know the kernel decides.
    if isinstance(decision, Allow) and not decision.notes:
        assert not starts_curl(text, programs)


def test_what_bash_starts_is_seen_here(programs: Path) -> None:
    assert starts_curl("echo ${x/a/b c}\ncurl", programs)
    assert not starts_curl("echo ${x/a/b curl}\nls", programs)
