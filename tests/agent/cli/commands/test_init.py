"""`moonpool init` as a person uses it."""

from pathlib import Path

import pytest

from command_line.running import Shell


@pytest.fixture
def repository(moonpool: Shell) -> Path:
    root = moonpool.directory / "repository"
    root.mkdir()
    (root / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["idna"]\n')
    return root


@pytest.mark.parametrize(
    "manifest",
    ["pyproject.toml", "requirements.txt", "package.json", "go.mod", "Cargo.toml", "pom.xml",
     "build.gradle", "Makefile", "nothing"],
)  # fmt: skip
def test_proposal_is_a_policy_that_check_takes(moonpool: Shell, manifest: str) -> None:
    root = moonpool.directory / "other"
    root.mkdir()
    (root / manifest).write_text('{"dependencies": {"x": "1"}}' if manifest.endswith("n") else "")
    done = moonpool("init", "-w", "other", "-o", "policy.yaml")
    assert done.returncode == 0, done.stderr
    assert "-p policy.yaml" in done.stderr
    checked = moonpool("policy", "check", "policy.yaml")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("said", [(), ("-o", "-")])
def test_without_a_file_it_is_printed_and_nothing_is_written(
    moonpool: Shell, repository: Path, said: tuple[str, ...]
) -> None:
    done = moonpool("init", "-w", "repository", *said)
    assert "extends: default" in done.stdout
    assert [path.name for path in repository.iterdir()] == ["pyproject.toml"]
    assert [path.name for path in moonpool.directory.iterdir()] == ["repository"]


def test_file_that_is_there_is_kept_unless_told(moonpool: Shell, repository: Path) -> None:
    policy = moonpool.directory / "policy.yaml"
    policy.write_text("mine")
    done = moonpool("init", "-w", "repository", "-o", "policy.yaml")
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert policy.read_text() == "mine"
    assert moonpool("init", "-w", "repository", "-o", "policy.yaml", "--force").returncode == 0
    assert "extends: default" in policy.read_text()


def test_nothing_is_written_into_the_workspace(moonpool: Shell, repository: Path) -> None:
    done = moonpool("init", "-w", "repository", "-o", "repository/policy.yaml")
    assert done.returncode == 2
    assert "lies in the workspace" in done.stderr
    assert not (repository / "policy.yaml").exists()


@pytest.mark.parametrize(("arguments", "said"), [((), True), (("-p", "default"), False)])
def test_run_names_init_where_nobody_chose_a_policy(
    moonpool: Shell, repository: Path, script: str, arguments: tuple[str, ...], *, said: bool
) -> None:
    done = moonpool(
        "run", "x", "-w", "repository", "-m", script, *arguments,
        env={"DOCKER_HOST": "unix:///nowhere.sock"},
    )  # fmt: skip
    assert ("moonpool init" in done.stderr + done.stdout) is said
