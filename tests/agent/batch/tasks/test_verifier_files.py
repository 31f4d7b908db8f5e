"""A check that brings files of its own: they stand in the fresh container, and nowhere else."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from agent.verification import Failed, NotRun, Verified, VerifierFiles, in_words, reward_in, verify
from foreign_images import foreign
from policies.loading import load
from policies.operator.ceiling import load_ceiling, under
from policies.policy import Policy
from sandbox.container.plan import BroughtFiles
from sandbox.engine.docker import Engine
from sandbox.errors import WorkspaceError
from sandbox.sandbox import Sandbox

pytestmark = pytest.mark.slow

OpenBox = Callable[..., Sandbox]


def undisturbed(_: object) -> AbstractContextManager[None]:
    return nullcontext()


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """A folder of tests whose script is yet to be written."""
    made = tmp_path / "tests"
    (made / "deep").mkdir(parents=True)
    (made / "deep/data.txt").write_text("data\n")
    return made


Check = Callable[[str], Verified | Failed | NotRun]


@pytest.fixture
def check(open_box: OpenBox, tests: Path) -> Check:
    """What comes of a script as the verifier's, after an agent that wrote one file."""

    def run(script: str, *, reward: bool = True) -> Verified | Failed | NotRun:
        (tests / "test.sh").write_text(f"#!/bin/bash\n{script}\n")
        box = open_box()
        box.write_file("made.txt", b"made\n")
        files = VerifierFiles(folder=tests, target="/tests", reward=reward, time_s=60.0)
        found = verify(
            box,
            box.export(),
            "/tests/test.sh",
            timeout_s=300,
            ended_by=undisturbed,
            files=files,
        )
        assert isinstance(found, Verified | Failed | NotRun)
        return found

    return run


def test_script_sees_patch_and_files_and_its_reward_counts(check: Check) -> None:
    found = check("cat made.txt /tests/deep/data.txt && echo 1 > /logs/verifier/reward.txt; exit 3")
    assert isinstance(found, Verified)
    assert (found.output, found.reward) == ("made\ndata\n", 1.0)
    assert in_words(found) == "verified: /tests/test.sh passes in a fresh container with the patch"


def test_part_of_a_reward_is_no_success(check: Check) -> None:
    found = check("""printf '{"reward": 0.25}' > /logs/verifier/reward.json""")
    assert isinstance(found, Failed)
    assert (found.reward, found.exit_code, found.reason) == (0.25, 0, "")
    assert in_words(found) == "not verified: /tests/test.sh gives 0.25 of 1 on a fresh copy"


def test_check_without_a_reward_has_failed(check: Check) -> None:
    found = check("exit 0")
    assert isinstance(found, Failed)
    assert (found.reward, found.reason) == (None, "the check wrote no reward")
    assert in_words(found) == (
        "not verified: /tests/test.sh gives no reward that counts (the check wrote no reward) on a "
        "fresh copy"
    )


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("ln -s /dev/zero /logs/verifier/reward.txt", "reward.txt can't be read: "),
        ("mkdir /logs/verifier/reward.json", "reward.json can't be read: "),
        (
            "python3 -c 'import os; os.mkfifo(\"/logs/verifier/reward.txt\")'",
            "reward.txt can't be read: ",
        ),
        ("head -c 70000 /dev/zero > /logs/verifier/reward.txt", "reward.txt is larger than 64 KiB"),
        ("echo 1e9 > /logs/verifier/reward.txt", "reward.txt holds a reward that is not from 0"),
    ],
)
def test_file_that_lies_gives_no_reward(check: Check, script: str, reason: str) -> None:
    found = check(script)
    assert isinstance(found, Failed)
    assert found.reward is None
    assert found.reason.startswith(reason)


def test_files_are_not_to_be_changed_and_nothing_else_is_opened(check: Check) -> None:
    found = check(
        "for target in /tests/test.sh /tests/new /logs/other /etc/passwd; do\n"
        "  (: >> $target) 2>/dev/null && echo wrote $target\n"
        "done\n"
        "cp /tests/test.sh /logs/verifier/copy && bash -c /logs/verifier/copy && echo ran a copy\n"
        "echo 1 > /logs/verifier/reward.txt"
    )
    assert isinstance(found, Verified)
    assert "wrote" not in found.output
    assert "ran a copy" not in found.output


def test_agent_sees_nothing_of_them(open_box: OpenBox, tests: Path) -> None:
    (tests / "test.sh").write_text("secret\n")
    box = open_box()
    fresh = box.fresh(BroughtFiles(files=tests, target="/tests", writable="/logs/verifier"))
    try:
        assert fresh.read_file("/tests/test.sh") == b"secret\n"
        assert box.run("ls /tests /logs").exit_code == 2
    finally:
        fresh.close()
    assert box.fresh().run("ls /tests /logs").exit_code == 2


def test_exit_code_decides_where_no_reward_is_asked_for(open_box: OpenBox, tests: Path) -> None:
    (tests / "test.sh").write_text("exit 0\n")
    box = open_box()
    files = VerifierFiles(folder=tests, target="/opt/checks", reward=False)
    found = verify(
        box,
        box.export(),
        "bash /opt/checks/test.sh && ! ls /logs 2>/dev/null",
        timeout_s=60,
        ended_by=undisturbed,
        files=files,
    )
    assert isinstance(found, Verified)
    assert found.reward is None


@pytest.mark.parametrize("exec_workspace", [True, False])
def test_they_run_whatever_the_policy_says_of_the_workspace(
    open_box: OpenBox, tests: Path, default_policy: Policy, *, exec_workspace: bool
) -> None:
    (tests / "test.sh").write_text("#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n")
    box = open_box(replace(default_policy, exec_workspace=exec_workspace))
    files = VerifierFiles(folder=tests, target="/tests", reward=True)
    found = verify(
        box, box.export(), "/tests/test.sh", timeout_s=60, ended_by=undisturbed, files=files
    )
    assert isinstance(found, Verified), found


def test_they_run_below_a_ceiling_too(
    open_box: OpenBox, tests: Path, default_policy: Policy, tmp_path: Path
) -> None:
    (tmp_path / "ceiling.yaml").write_text(
        "version: 1\nname: ceiling\nlimits: {memory: 1GiB}\npaths: {write: [.]}\n"
    )
    (tests / "test.sh").write_text(
        "#!/bin/bash\n(: > /opt/x) 2>/dev/null || echo 1 > /logs/verifier/reward.txt\n"
    )
    box = open_box(under(default_policy, [load_ceiling(str(tmp_path / "ceiling.yaml"))]))
    files = VerifierFiles(folder=tests, target="/tests", reward=True)
    found = verify(
        box, box.export(), "/tests/test.sh", timeout_s=60, ended_by=undisturbed, files=files
    )
    assert isinstance(found, Verified), found


HOSTILE = b"""
FROM moonpool/python:latest
USER root
RUN mkdir -p /tests /elsewhere && echo planted > /tests/conftest.py && ln -s /elsewhere /logs \
    && mkdir /elsewhere/verifier && echo 1 > /elsewhere/verifier/reward.txt \
    && chmod -R 777 /tests /elsewhere
"""


@pytest.fixture(scope="module")
def hostile(engine: Engine, image: str) -> Iterator[str]:
    with foreign(engine, "verifier-files", {"Dockerfile": HOSTILE}) as name:
        yield name


def test_what_the_image_has_at_their_place_takes_no_part(
    engine: Engine, hostile: str, workspace: Path, tests: Path
) -> None:
    (tests / "test.sh").write_text("#!/bin/bash\nls -1 /tests /logs/verifier; ls -ld /logs\n")
    with Sandbox.open(
        workspace=workspace, policy=load("default"), image=hostile, engine=engine
    ) as box:
        found = verify(
            box,
            box.export(),
            "/tests/test.sh",
            timeout_s=60,
            ended_by=undisturbed,
            files=VerifierFiles(folder=tests, target="/tests", reward=True),
        )
    assert isinstance(found, Failed)
    assert found.reason == "the check wrote no reward"
    assert "conftest.py" not in found.output
    assert "test.sh" in found.output
    assert "-> /elsewhere" not in found.output


@pytest.mark.parametrize("target", ["/usr/bin", "/workspace", "/etc/x", "/tests/../etc", "tests"])
def test_files_go_to_no_place_of_the_sandbox_itself(
    open_box: OpenBox, tests: Path, target: str
) -> None:
    with pytest.raises(WorkspaceError):
        open_box().fresh(BroughtFiles(files=tests, target=target))


def test_link_among_them_is_refused(open_box: OpenBox, tests: Path) -> None:
    (tests / "secret").symlink_to("/etc/passwd")
    box = open_box()
    with pytest.raises(WorkspaceError, match="can't be read"):
        box.fresh(BroughtFiles(files=tests, target="/tests"))
    (tests / "secret").unlink()
    (tests / "folder").symlink_to("/etc")
    with pytest.raises(WorkspaceError, match="is a link"):
        box.fresh(BroughtFiles(files=tests, target="/tests"))


REWARDS: dict[tuple[str, bytes], float | str] = {
    ("reward.txt", b"1\n"): 1.0,
    ("reward.txt", b" 0.5 "): 0.5,
    ("reward.txt", b"1e-3"): 0.001,
    ("reward.txt", b""): "reward.txt holds no number",
    ("reward.txt", b"nan"): "reward.txt holds no number",
    ("reward.txt", b"1_0"): "reward.txt holds no number",
    ("reward.txt", b"1 2"): "reward.txt holds no number",
    ("reward.txt", "\u0661".encode()): "reward.txt holds no number",
    ("reward.txt", b"\xff"): "reward.txt is not text",
    ("reward.txt", b"-0.1"): "reward.txt holds a reward that is not from 0 to 1",
    ("reward.txt", b"1.0000001"): "reward.txt holds a reward that is not from 0 to 1",
    ("reward.json", b"1"): 1.0,
    ("reward.json", b'{"reward": 0.5, "style": 1}'): 0.5,
    ("reward.json", b'{"accuracy": 0}'): 0.0,
    ("reward.json", b'{"a": 1, "b": 1}'): (
        "reward.json has several rewards, and none is called `reward`"
    ),
    ("reward.json", b"{}"): "reward.json has several rewards, and none is called `reward`",
    ("reward.json", b'{"reward": true}'): "reward.json holds no number",
    ("reward.json", b'{"reward": "1"}'): "reward.json holds no number",
    ("reward.json", b'{"reward": NaN}'): "reward.json holds a reward that is not from 0 to 1",
    ("reward.json", b'{"reward": 1e999}'): "reward.json holds a reward that is not from 0 to 1",
    ("reward.json", b'{"reward": 0, "reward": 1}'): "reward.json is not JSON",
    ("reward.json", b"[" * 65536): "reward.json is not JSON",
    ("reward.json", b'{"reward": ' + b"9" * 60_000 + b"}"): "reward.json is not JSON",
    ("reward.json", b"[1]"): "reward.json holds no number",
    ("reward.json", b""): "reward.json is not JSON",
}


@pytest.mark.parametrize(("name", "data"), REWARDS)
def test_reward_is_read_by_its_form(name: str, data: bytes) -> None:
    assert reward_in(name, data) == REWARDS[name, data]
