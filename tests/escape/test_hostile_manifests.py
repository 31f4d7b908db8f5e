"""A repository that would write its own permit through what `init` reads of it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from agent.proposal.proposing import propose
from images.recipes import names

BREAKING = "x\nimage: evil\r\nextends: evil\x85network: [evil.example]\u2028a: b\x1b]0;\x07\ufffe"


def proposal_of(root: Path) -> str:
    text = propose(root, images=frozenset(names())).text
    policy = yaml.safe_load(text)
    assert policy["image"] in names()
    assert policy["extends"] in {"default", policy["image"]}
    assert set(policy.get("setup", {}).get("network", [])) <= {"pip", "npm", "go", "cargo", "maven"}
    assert text.isascii()
    assert all(char.isprintable() or char == "\n" for char in text)
    # On a terminal, what is broken by its width would look like a line without the sign.
    comments = [row for row in text.splitlines() if row.lstrip().startswith("#")]
    assert all(len(row) < 80 for row in comments if "apt-get install" not in row)
    return text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("requirements.txt", BREAKING),
        ("setup.py", f"setup(install_requires=[{BREAKING!r}])"),
        ("pyproject.toml", f"[project]\ndependencies=[{json.dumps(BREAKING)}]"),
        ("setup.cfg", f"[options]\ninstall_requires =\n  {BREAKING}"),
        ("noxfile.py", f"def test(s):\n    s.install({BREAKING!r}, '-r', {BREAKING!r})"),
        ("Pipfile", f"[packages]\n{json.dumps(BREAKING)} = {json.dumps(BREAKING)}"),
        (".gitmodules", '[submodule "a"]\n\tpath = x\x1b[2J\u2028image: evil\n'),
        ("package.json", '{"scripts": {"test\\nimage: evil": "x", "test": "a\\nimage: evil"}}'),
        ("Dockerfile", "FROM x\x1b[2J\u202e:y\nRUN apt-get install evil\x1b x'y z\n"),
        (".devcontainer.json", '{"image": "x\u2028image: evil"}'),
        ("Makefile", "test\rimage: evil:\n"),
        ("setup.py", "(" * 50_000),
        ("setup.py", "-" * 150_000 + "1"),
        ("pyproject.toml", "a = " + "[" * 50_000),
        ("package.json", "[" * 500_000),
        ("pyproject.toml", "[project\n"),
        ("package.json", "{"),
        ("setup.cfg", "no section\n"),
        ("pyproject.toml", "[project]\nname = 3\ndependencies = 3\n[dependency-groups]\ntest = 7"),
        ("pyproject.toml", '[dependency-groups]\ntest = [{include-group = "test"}, {x = 1}]'),
        ("requirements.txt", "-r requirements.txt\n-r ../../../etc/passwd\n-r /etc/passwd\n"),
        ("requirements.txt", "a" * 900_000),
        ("requirements.txt", "a>=1," * 100_000),
        ("requirements.txt", "a" + "." * 40 + " " * 40 + "image: evil"),
        (".github/workflows/" + "a" * 80 + "image: evil.yml", "- run: apt install evil"),
        ("Dockerfile", "RUN apt " + "-apt " * 200_000),
        ("package.json", '{"dependencies": ["x"], "scripts": 3, "workspaces": 1}'),
    ],
)  # fmt: skip
def test_text_of_a_repository_becomes_no_key_and_no_crash(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    assert "/etc" not in proposal_of(tmp_path)


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "requirements.txt", "package.json", "go.mod", "setup.py", "tox.ini"]
)
def test_links_pipes_and_folders_in_place_of_a_manifest_are_not_read(
    tmp_path: Path, name: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("swordfish")
    plants: tuple[Callable[[Path], None], ...] = (
        lambda path: path.symlink_to(secret),
        os.mkfifo,
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("/dev/zero"),
    )
    for number, plant in enumerate(plants):
        root = tmp_path / str(number)
        root.mkdir()
        # Beside it what says that the repository is Python's, and is to be read for that.
        (root / "poetry.lock").touch()
        (root / "noxfile.py").touch()
        plant(root / name)
        assert "swordfish" not in proposal_of(root)


def test_linked_folder_is_not_entered(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "tests.txt").write_text("swordfish\n")
    root = tmp_path / "root"
    root.mkdir()
    (root / "setup.py").write_text("")
    (root / "requirements").symlink_to(outside)
    assert "swordfish" not in proposal_of(root)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", '[tool.setuptools.dynamic]\ndependencies = {file = ["%s"]}'),
        ("tox.ini", "[testenv]\ndeps = -r%s"),
        ("tox.ini", "[testenv]\ndeps = -r{toxinidir}/%s"),
        ("requirements.txt", "-r %s"),
    ],
)
@pytest.mark.parametrize("path", ["../outside.txt", "{}/../outside.txt", "below/../../outside.txt"])
def test_file_that_a_manifest_names_is_read_in_the_repository_alone(
    tmp_path: Path, name: str, text: str, path: str
) -> None:
    (tmp_path / "outside.txt").write_text("swordfish\nsword fish\n")
    root = tmp_path / "root"
    (root / "below").mkdir(parents=True)
    (root / name).write_text(text % path.format(root))
    told = proposal_of(root)
    assert "swordfish" not in told
    assert "sword fish" not in told


def test_huge_manifest_is_said_to_be_unread(tmp_path: Path) -> None:
    with (tmp_path / "pyproject.toml").open("wb") as file:
        file.truncate(1 << 40)
    assert "# Not read: pyproject.toml can't be read: it is larger" in proposal_of(tmp_path)


WITHIN_BOUNDS = """
import resource, sys
from pathlib import Path
from agent.proposal.proposing import propose
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
print(propose(Path(sys.argv[1]), images=frozenset({"python"})).text)
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("setup.cfg", "[DEFAULT]\n" + "".join(f"k{at}=\n[s{at}]\n" for at in range(9_000))),
        (
            "tox.ini",
            "".join(f"[s{at}]\n" for at in range(9_000))
            + "[DEFAULT]\n"
            + "".join(f"k{at}=\n" for at in range(9_000)),
        ),
        (
            "pyproject.toml",
            "[dependency-groups]\ntest = [" + '{include-group = "test"},' * 49 + "]\n",
        ),
        (
            "pyproject.toml",
            "[dependency-groups]\n"
            + "\n".join(f'g{at} = [{{include-group = "g{at + 1}"}}]' for at in range(9_000))
            + '\ntest = [{include-group = "g0"}]\n',
        ),
        (
            "pyproject.toml",
            '[project]\nname = "p"\n[project.optional-dependencies]\n'
            + "\n".join(
                f'{it} = ["p[test,{",".join(f"x{at}" for at in range(19))}]"]'
                for it in ("test", *(f"x{at}" for at in range(19)))
            ),
        ),
    ],
)
def test_a_small_file_that_multiplies_is_read_once(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-P", "-c", WITHIN_BOUNDS, tmp_path],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "can't be read" not in done.stdout


def test_nothing_of_the_repository_is_run_or_imported(tmp_path: Path) -> None:
    touch = f"import pathlib\npathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
    for name in ("setup.py", "noxfile.py", "yaml.py", "json.py", "conftest.py", "tomllib.py"):
        (tmp_path / name).write_text(touch)
    proposal_of(tmp_path)
    assert not (tmp_path / "ran").exists()
