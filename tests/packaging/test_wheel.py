"""A wheel of this checkout, installed somewhere else, is whole and imports only itself."""

import configparser
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout import ROOT

pytestmark = pytest.mark.slow

ROOMS = ("agent", "images", "policies", "sandbox")


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: a build leaves folders behind, and finds those of an earlier one."""
    source = tmp_path_factory.mktemp("source")
    unwanted = shutil.ignore_patterns("*.egg-info", "__pycache__")
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=unwanted)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("dist")
    command = ("-I", "-m", "build", "--wheel", "--no-isolation", "--outdir", out, source)
    run(sys.executable, *command, cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_every_file_of_the_four_rooms_is_in_it(names: list[str]) -> None:
    ours = {
        path.relative_to(ROOT).as_posix()
        for room in ROOMS
        for path in (ROOT / room).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "images/recipes/python/Dockerfile" in ours
    assert ours - set(names) == set()


def test_it_brings_the_four_rooms_and_nothing_else(names: list[str]) -> None:
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(ROOMS)


def test_the_licence_travels_with_it(names: list[str]) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_command_and_the_provider_of_inspect_are_the_only_entries(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        parser = configparser.ConfigParser()
        parser.read_string(archive.read(path).decode())
    assert {name: dict(parser[name]) for name in parser.sections()} == {
        "console_scripts": {"moonpool": "agent.cli:main"},
        "inspect_ai": {"moonpool": "agent.servers.inspect.provider"},
    }


def test_no_room_runs_as_a_module(names: list[str]) -> None:
    """``python -m agent`` inside an untrusted tree would import that tree's ``agent/``."""
    assert [name for name in names if name.endswith("__main__.py")] == []
    assert [found for room in ROOMS for found in (ROOT / room).rglob("__main__.py")] == []


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A venv elsewhere with the wheel; the dependencies are lent by the one we run in."""
    venv = tmp_path_factory.mktemp("elsewhere") / "venv"
    run(sys.executable, "-I", "-m", "venv", "--without-pip", venv, cwd=venv.parent)
    pip = ("-I", "-m", "pip", "--python", venv / "bin/python", "install", "-qq")
    run(sys.executable, *pip, "--no-deps", "--no-index", wheel, cwd=venv.parent)
    (packages,) = venv.glob("lib/python3*/site-packages")
    # A path named in a .pth file is searched, but .pth files in *it* are not read: so the editable
    # install of this checkout that may lie there does not shine through.
    (packages / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    yield venv
    shutil.rmtree(venv)


def test_the_rooms_come_from_the_wheel_and_find_their_data(installed: Path, tmp_path: Path) -> None:
    program = """
import agent, images, policies, sandbox
from images import recipes
from policies.loading import bundled_names, load
for room in (agent, images, policies, sandbox):
    print(room.__file__)
print(recipes.find("python").base)
print([load(name).name for name in bundled_names()])
"""
    (*files, base, policies) = run(
        installed / "bin/python", "-I", "-c", program, cwd=tmp_path
    ).splitlines()
    assert [Path(file).is_relative_to(installed) for file in files] == [True] * len(ROOMS)
    assert base == "debian:bookworm-slim"
    assert "default" in policies


def test_the_command_runs_elsewhere(installed: Path, tmp_path: Path) -> None:
    moonpool = installed / "bin/moonpool"
    assert "policy" in run(moonpool, "--help", cwd=tmp_path)
    assert "default" in run(moonpool, "policy", "show", "default", cwd=tmp_path)


def test_an_untrusted_folder_lends_the_command_no_code(installed: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    trap = f"open({str(canary)!r}, 'w').close()\nraise SystemExit('imported from the workspace')\n"
    tree = tmp_path / "tree"
    for name in (*ROOMS, "docker", "yaml", "pydantic_core", "anthropic"):
        (tree / name).mkdir(parents=True)
        (tree / name / "__init__.py").write_text(trap)
        (tree / name / "__main__.py").write_text(trap)
    for name in ("sitecustomize.py", "usercustomize.py", "json.py", "images.py"):
        (tree / name).write_text(trap)
    (tree / "pyvenv.cfg").write_text("home = /nonexistent\n")
    environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run(installed / "bin/moonpool", "policy", "show", "default", cwd=tree, env=environ)
    assert not canary.exists()
