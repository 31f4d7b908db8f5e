"""What is proposed for Python projects."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from .conftest import Proposer

PROJECT = '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
NAMED = '[project]\nname = "Some.Thing"\ndependencies = ["idna>=2.5,<4"]\n'
OWN_EXTRA = '[project.optional-dependencies]\nown = ["freezegun"]\n'


def installs(policy: dict[str, Any]) -> str:
    return "\n".join(policy["setup"]["commands"])


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": NAMED + '[dependency-groups]\ntests = ["freezegun"]\n'},
        {
            "pyproject.toml": NAMED
            + '[dependency-groups]\nx = ["freezegun"]\ntest = [{include-group = "x"}]\n'
        },
        {"pyproject.toml": NAMED + '[project.optional-dependencies]\ntest = ["freezegun"]\n'},
        {
            "pyproject.toml": NAMED
            + '[project.optional-dependencies]\nx = ["freezegun"]\ndev = ["some_thing[x]"]\n'
        },
        {"pyproject.toml": NAMED, "requirements/tests.txt": "freezegun==1.5  # pinned\n"},
        {
            "pyproject.toml": NAMED,
            "requirements/tests.txt": "-r more.txt\n",
            "requirements/more.txt": "freezegun\n",
        },
        {"pyproject.toml": NAMED, "requirements-dev.txt": "-e .[x]\nfreezegun\n"},
        {"pyproject.toml": NAMED, "tox.ini": "[testenv]\ndeps =\n    py311: freezegun\n"},
        {"pyproject.toml": NAMED + OWN_EXTRA, "tox.ini": "[testenv]\ndeps = .[own]\n"},
        {"pyproject.toml": NAMED + OWN_EXTRA, "tox.ini": "[testenv]\nextras =\n  a.b\n  own\n"},
        {
            "pyproject.toml": NAMED + '[dependency-groups]\nx = ["freezegun"]\n',
            "tox.ini": "[testenv]\ndependency_groups = x\n",
        },
        {"pyproject.toml": NAMED + OWN_EXTRA, "requirements.txt": "-e .[own, more]\n"},
        {"pyproject.toml": NAMED + OWN_EXTRA, "requirements-dev.txt": "some-thing[own]\n"},
        {"pyproject.toml": NAMED, "tox.ini": "[testenv]\n", "requirements.txt": "freezegun==1\n"},
        {
            "setup.cfg": "[options]\ninstall_requires =\n    idna>=2.5,<4\n"
            "[options.extras_require]\ntests =\n    freezegun\n"
        },
        {
            "setup.py": "from setuptools import setup\nREQ = ['idna>=2.5,<4']\n"
            "setup(install_requires=REQ, extras_require={'test': ['freezegun']})\n"
        },
        {
            "pyproject.toml": '[tool.poetry]\nname="x"\n[tool.poetry.dependencies]\npython="*"\n'
            'idna=">=2.5,<4"\n[tool.poetry.group.test.dependencies]\nfreezegun="^1.5"\n'
        },
        {"pyproject.toml": NAMED + '[tool.uv]\ndev-dependencies = ["freezegun"]\n'},
        {"pyproject.toml": NAMED + '[tool.pdm.dev-dependencies]\ntest = ["freezegun"]\n'},
        {"pyproject.toml": NAMED + '[tool.hatch.envs.default]\ndependencies = ["freezegun"]\n'},
        {"pyproject.toml": NAMED + OWN_EXTRA, "hatch.toml": '[envs.test]\nfeatures = ["own"]\n'},
        {
            "pyproject.toml": NAMED + '[dependency-groups]\nx = ["freezegun"]\n',
            "hatch.toml": '[envs.hatch-test]\ndependency-groups = ["x"]\n',
        },
        {"Pipfile": '[packages]\nidna=">=2.5,<4"\n[dev-packages]\nfreezegun={version="*"}\n'},
    ],
)
def test_what_project_and_tests_ask_for_is_installed(
    proposed: Proposer, files: dict[str, str]
) -> None:
    policy = proposed(files)
    assert "'idna>=2.5,<4'" in installs(policy)
    assert "freezegun" in installs(policy)
    assert policy["image"] == "python"
    assert policy["setup"]["network"] == ["pip"]
    assert "pytest" in installs(policy)
    assert policy["verify"] == "python3 -m pytest -q"


@pytest.mark.parametrize(
    ("installs_so", "more"),
    [
        ("session.install('-e', '.[own]')", {}),
        ("session.install('.', '-U', 'freezegun>=1')", {}),
        ("session.install(*NEEDS)", {}),
        ("session.install('-r', 'reqs.in')", {"reqs.in": "freezegun\n"}),
        ("session.install('--requirement=reqs.in')", {"reqs.in": "freezegun\n"}),
        ("session.install(*nox.project.dependency_groups(PYPROJECT, 'x'))", {}),
        ("session.run('uv', 'sync', '--group', 'x', '--active')", {}),
        ("session.run_install('uv', 'sync', '--extra=own')", {}),
    ],
)
def test_what_the_test_session_of_nox_installs_is_installed(
    proposed: Proposer, installs_so: str, more: dict[str, str]
) -> None:
    session = "import nox\nNEEDS = ['freezegun']\ndef lint(session):\n    session.install('ruff')\n"
    session += f"@nox.session\ndef tests(session):\n    if session:\n        {installs_so}\n"
    asked = NAMED + OWN_EXTRA + '[dependency-groups]\nx = ["freezegun"]\n'
    policy = proposed({"pyproject.toml": asked, "noxfile.py": session, **more})
    assert "freezegun" in installs(policy)
    assert "ruff" not in installs(policy)
    assert set(more) <= set(policy["setup"]["inputs"])


@pytest.mark.parametrize("text", ["def tests(session):\n", "(" * 9999, "tests = 1\n", "\0"])
def test_a_noxfile_that_can_not_be_read_asks_for_nothing(proposed: Proposer, text: str) -> None:
    policy = proposed({"pyproject.toml": NAMED, "noxfile.py": text})
    assert installs(policy).endswith(
        "install 'idna>=2.5,<4' pytest\n/opt/venv/bin/pip install setuptools wheel"
    )


def test_versions_that_a_file_of_constraints_holds_are_said_not_to_be_read(
    proposed: Proposer,
) -> None:
    policy = proposed({"requirements.txt": "-c held.txt\nidna\n", "held.txt": "idna==2\n"})
    assert "requirements.txt holds versions by held.txt" in " ".join(
        policy["text"].replace("\n#   ", " ").splitlines()
    )


@pytest.mark.parametrize("source", ["{ workspace = true }", '{ path = "packages/core" }'])
def test_what_lies_in_the_repository_is_not_asked_of_an_index(
    proposed: Proposer, source: str
) -> None:
    asked = "[project]\nname = 'x'\ndependencies = ['Own_Core>=1', 'idna']\n"
    policy = proposed({"pyproject.toml": f"{asked}[tool.uv.sources]\nown-core = {source}\n"})
    assert "install idna pytest" in installs(policy)
    assert "# Note: own-core lies in the repository" in policy["text"]


def test_project_itself_is_built_without_network_by_a_backend_installed_before(
    proposed: Proposer,
) -> None:
    policy = proposed({"pyproject.toml": PROJECT + NAMED})
    assert policy["setup"]["prepare"] == [
        "/opt/venv/bin/pip install --no-deps --no-build-isolation -e ."
    ]
    assert "hatchling" in installs(policy)
    assert "editables" in installs(policy)


def test_version_from_git_is_given_where_there_is_no_git(proposed: Proposer) -> None:
    build = '[build-system]\nrequires = ["setuptools", "setuptools-scm>=8"]\n'
    (line,) = proposed({"pyproject.toml": build})["setup"]["prepare"]
    assert line.startswith("SETUPTOOLS_SCM_PRETEND_VERSION=")
    (line,) = proposed({"PKG-INFO": "Version: 1"})["setup"]["prepare"]
    assert not line.startswith("SETUPTOOLS_SCM_PRETEND_VERSION=")


def test_requirement_files_alone_build_nothing(proposed: Proposer) -> None:
    policy = proposed({"requirements.txt": "idna\n"})
    assert "idna" in installs(policy)
    assert "prepare" not in policy["setup"]


def test_inputs_are_the_files_that_say_what_is_installed(proposed: Proposer) -> None:
    policy = proposed({"pyproject.toml": NAMED, "requirements/tests.txt": "x\n", "a.py": ""})
    assert policy["setup"]["inputs"] == ["pyproject.toml", "requirements/tests.txt"]


def test_another_index_is_told_and_not_taken(proposed: Proposer) -> None:
    policy = proposed({"requirements.txt": "--index-url https://evil.example/simple\nidna\n"})
    assert "evil" not in str(policy["setup"])
    assert "# Note: requirements.txt names another index" in policy["text"]


@pytest.mark.parametrize(
    "said",
    [
        "[tool.uv]\nextra-index-url = ['https://evil.example/simple']",
        "[[tool.uv.index]]\nurl = 'https://evil.example/simple'",
        "[[tool.poetry.source]]\nname = 'x'\nurl = 'https://evil.example/simple'",
        "[[tool.pdm.source]]\nurl = 'https://evil.example/simple'",
    ],
)
def test_another_index_of_a_tool_is_told_and_not_taken(proposed: Proposer, said: str) -> None:
    policy = proposed(
        {"pyproject.toml": f"[project]\nname = 'x'\ndependencies = ['idna']\n{said}\n"}
    )
    assert "# Note: pyproject.toml names another index" in policy["text"]
    assert "evil.example" not in str({k: v for k, v in policy.items() if k != "text"})


@pytest.mark.parametrize(
    "text",
    ["x @ https://evil.example/x.whl", "git+https://evil.example/x", "../x", "x; touch y", "-e x",
     "x'$(id)'", "--no-binary :all:", "x\x1b[2J", "x[`id`]", "x==1 || id", "--hash=x"],
)  # fmt: skip
def test_what_is_no_plain_requirement_is_told_and_not_installed(
    proposed: Proposer, text: str
) -> None:
    policy = proposed({"requirements.txt": f"idna\n{text}\n"})
    commands = installs(policy)
    assert "evil" not in commands
    assert not any(sign in commands for sign in "`$;|\x1b")
    assert "is no plain requirement" in policy["text"]


def test_tests_by_unittest_alone_are_run_by_it(proposed: Proposer) -> None:
    policy = proposed({"setup.py": "", "tests/test_a.py": "import unittest\n"})
    assert policy["verify"] == "python3 -m unittest discover"


def test_extras_of_what_poetry_asks_for_are_installed(proposed: Proposer) -> None:
    asked = (
        '[tool.poetry.dependencies]\nuvicorn = {version = "^0.1", extras = ["standard", "a;b"]}\n'
    )
    policy = proposed({"pyproject.toml": asked.replace(', "a;b"', "")})
    assert "'uvicorn[standard]>=0.1'" in installs(policy)
    assert "uvicorn" not in installs(proposed({"pyproject.toml": asked}))


def test_locked_versions_of_pipenv_are_said_not_to_be_read(proposed: Proposer) -> None:
    policy = proposed({"Pipfile": "[packages]\nidna = '*'\n", "Pipfile.lock": "{}"})
    assert "# Note: Pipfile.lock is not read" in policy["text"]


LOCK = (
    '[[package]]\nname = "idna"\nversion = "3.1"\n'
    'source = { registry = "https://evil.example" }\n\n'
    '[[package]]\nname = "many"\nversion = "9.0"\n[[package]]\nname = "many"\nversion = "10.0"\n'
    '[[package]]\nname = "local"\nversion = "1!2.0rc1+cpu"\n'
    '[[package]]\nname = "odd"\nversion = "1\'; id"\n'
    '[[package]]\nname = "worse @ https://evil.example/x.whl"\nversion = "1"\n'
    '[[package]]\nname = "-i"\nversion = "1"\n[[package]]\nname = "--pre"\nversion = "1"\n'
    '[[package]]\nname = "own"\nsource = { editable = "." }\nversion = "1"\n'
)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("lock", ["uv.lock", "poetry.lock", "pdm.lock", "pylock.toml"])
def test_what_is_installed_is_held_to_a_lock_of_which_names_and_versions_alone_are_read(
    proposed: Proposer, tmp_path: Path, lock: str, ends: str
) -> None:
    files = {"pyproject.toml": PROJECT + NAMED, lock: LOCK}
    policy = proposed(files)
    _, reading, installing, of_build = policy["setup"]["commands"]
    assert "install -c /tmp/pins.txt 'idna>=2.5,<4'" in installing
    assert "-c" not in of_build.split()
    assert lock in policy["setup"]["inputs"]
    (tmp_path / lock).write_bytes(LOCK.replace("\n", ends).encode())
    pins = tmp_path / "pins"
    line = reading.replace("/tmp/pins.txt", str(pins))
    subprocess.run(["bash", "-eo", "pipefail", "-c", line], cwd=tmp_path, check=True)
    assert pins.read_text().splitlines() == ["idna<=3.1", "local<=1!2.0rc1", "many<=10.0", "odd<=1"]
