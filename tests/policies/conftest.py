"""Policies and calls for the tests of this room."""

from collections.abc import Callable
from pathlib import Path

import pytest

from policies.decision import Call, Decision, decide
from policies.loading import load
from policies.policy import Policy

# What can start programs of others' choice only in ways that the check sees: no interpreter but
# the shells. Nothing of the workspace runs.
NARROW = """version: 1
name: narrow
tools: [bash, read_file, write_file, edit_file, list_dir, update_plan]
commands:
  - ls
  - cat
  - echo
  - grep
  - find
  - xargs
  - env
  - timeout
  - tar
  - sort
  - rg
  - tee
  - sh
  - bash
  - /opt/tool/bin/tool
  - {program: rm, ask: true}
  - {program: git, args: [[status], [diff], [rebase], [bisect], [grep], [stash, list]]}
exec_workspace: false
paths: {write: [src, notes.txt]}
"""

Decide = Callable[[str], Decision]


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    file = tmp_path_factory.mktemp("policy") / "narrow.yaml"
    file.write_text(NARROW)
    return load(str(file))


@pytest.fixture
def narrowly(narrow: Policy) -> Decide:
    return lambda command: decide(narrow, Call(tool="bash", arguments={"command": command}))


@pytest.fixture
def by_default(default_policy: Policy) -> Decide:
    return lambda command: decide(default_policy, Call(tool="bash", arguments={"command": command}))


@pytest.fixture
def make_policy(tmp_path: Path) -> Callable[[str], Policy]:
    def make(text: str) -> Policy:
        file = tmp_path / "policy.yaml"
        file.write_text("version: 1\nname: made\n" + text)
        return load(str(file))

    return make
