"""Every attempt of the corpus, in a real sandbox; then evidence that it did not happen."""

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from escape.conftest import ChangedPaths, Standing
from escape.corpus import Attempt, attempts
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.results import CommandResult, Ending
from sandbox.sandbox import Sandbox

OWN = ("/workspace", "/tmp", "/var/tmp", "/home/agent", "/dev", "/proc", "/sys")
ABOVE = {"/home", "/var"}
"""Above what is the sandbox's own: the engine lists them because something below changed."""


def named(group: str) -> list[object]:
    return [pytest.param(attempt, id=attempt.id) for attempt in attempts(group)]


def tried(box: Sandbox, attempt: Attempt) -> CommandResult:
    """Do it, where it can be in a directory of its own."""
    room = "/workspace"
    if attempt.policy == "default":
        room = f"/workspace/{uuid.uuid4().hex[:8]}"
        box.write_file(f"{room}/.keep", b"")
    return box.run(
        f"cd {room}\n( {attempt.command}\n)", stdin=attempt.stdin, timeout_s=attempt.timeout_s
    )


def attempted(box: Sandbox, attempt: Attempt) -> CommandResult:
    result = tried(box, attempt)
    said = result.stdout + result.stderr
    assert attempt.broken_if.encode() not in said, f"{attempt.tries}: {said!r}"
    return result


def answers(box: Sandbox) -> None:
    token = uuid.uuid4().hex
    result = box.run(f"echo $((6*7)) {token}")
    assert result.stdout == f"42 {token}\n".encode(), result


@pytest.mark.parametrize("attempt", named("programs"))
def test_a_program_that_is_not_listed_never_runs(attempt: Attempt, standing: Standing) -> None:
    box = standing(attempt.policy)
    assert attempted(box, attempt).ending is Ending.EXITED
    answers(box)


@pytest.mark.slow
def test_the_attempts_are_real(
    engine: Engine, image: str, tmp_path: Path, default_policy: Policy
) -> None:
    """Where a policy lists perl each of them runs it: what fails above fails for the policy."""
    perl = replace(default_policy.commands[0], program="perl")
    policy = replace(default_policy, commands=(*default_policy.commands, perl))
    dead = set()
    with Sandbox.open(workspace=tmp_path, policy=policy, image=image, engine=engine) as box:
        for attempt in attempts("programs"):
            if attempt.policy == "default" and attempt.held_otherwise is None:
                # Some wait for more once they run; what they printed by then counts. On a busy
                # machine that is late for those which start a lot.
                results = (tried(box, replace(attempt, timeout_s=limit_s)) for limit_s in (2, 60))
                sign = attempt.broken_if.encode()
                if not any(sign in result.stdout + result.stderr for result in results):
                    dead.add(attempt.id)
    assert dead == set()


@pytest.mark.parametrize("attempt", named("kernel"))
def test_no_way_to_a_network_a_namespace_or_the_host(attempt: Attempt, standing: Standing) -> None:
    box = standing(attempt.policy)
    assert attempted(box, attempt).ending is Ending.EXITED
    answers(box)


@pytest.fixture(scope="module")
def watched(standing: Standing, changed_paths: ChangedPaths) -> Iterator[Standing]:
    """The same sandboxes. What all attempts together changed in them is asked once, at the end: the
    engine compares a whole image each time.
    """
    yield standing
    for policy in {attempt.policy for attempt in attempts("writes")}:
        changed = changed_paths(standing(policy)) - ABOVE
        assert {path for path in changed if not path.startswith(OWN)} == set(), policy


@pytest.mark.parametrize("attempt", named("writes"))
def test_nothing_is_written_outside_of_the_write_list(attempt: Attempt, watched: Standing) -> None:
    box = watched(attempt.policy)
    attempted(box, attempt)
    answers(box)


@pytest.mark.slow
@pytest.mark.parametrize("attempt", named("guest"))
def test_the_guest_lives_and_answers(attempt: Attempt, standing: Standing, engine: Engine) -> None:
    box = standing("default")
    result = attempted(box, attempt)
    assert result.ending is not Ending.LOST, result.stderr
    answers(box)
    box.write_file("proof", b"42")
    assert box.read_file("proof") == b"42"
    assert engine.inspect(box.id)["RestartCount"] == 0
