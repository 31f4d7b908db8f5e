"""The images agents work in, built for real and looked at from inside as root."""

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import uuid4

import pytest

from agent.proposal.node import NODE_MAJOR
from agent.proposal.python import MINORS
from images import build, listing
from images.build import ensure, ensure_recipe
from images.recipes import Recipe
from sandbox.engine.docker import Engine
from sandbox.errors import EngineError, ImageUnusable

pytestmark = pytest.mark.slow

BASE = "debian:bookworm-slim"

EVERYWHERE = (
    "awk bash bzip2 diff file find git grep gzip jq less patch ps python3 rg sed tar tree unzip "
    "xargs xz zip"
)
TOOLS = {
    "python": f"{EVERYWHERE} black cc coverage flake8 g++ gcc isort ld make mypy pip pip3 pytest "
    "python ruff time tox",
    "node": f"{EVERYWHERE} node npm npx",
}

# Walks the file system, which is why it runs as root; leaves its findings in a file.
PROBE = r"""
import json, os, pwd, shutil, stat, subprocess, sys
found = {"privileged": [], "open": [], "capable": [], "agents": []}
for top, folders, files in os.walk("/"):
    if top == "/":
        folders[:] = [name for name in folders if name not in ("proc", "sys", "dev")]
    for path in [os.path.join(top, name) for name in folders + files]:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            continue
        if info.st_mode & 0o6000:
            found["privileged"].append(path)
        if info.st_mode & 0o002:
            found["open"].append(path)
        if 1000 in (info.st_uid, info.st_gid):
            found["agents"].append(path)
        if "security.capability" in os.listxattr(path):
            found["capable"].append(path)
agent = pwd.getpwnam("agent")
found["agent"] = [agent.pw_uid, agent.pw_gid, agent.pw_dir, agent.pw_shell]
owner = os.stat("/workspace")
found["workspace"] = [owner.st_uid, owner.st_gid, stat.S_IMODE(owner.st_mode)]

def as_agent(*command):
    done = subprocess.run(
        command, cwd="/home/agent", user=1000, group=1000, extra_groups=[], capture_output=True,
        env={"PATH": os.environ["PATH"], "HOME": "/home/agent", "LANG": os.environ["LANG"]},
    )
    return [done.returncode, (done.stdout + done.stderr).decode()[-500:]]

found["tools"] = {name: shutil.which(name) for name in sys.argv[1:]}
found["compile"] = as_agent(
    "sh", "-c", "echo 'int main(void){return 42;}' > a.c && gcc a.c -o a && ./a; test $? = 42")
found["venv"] = as_agent(
    "sh", "-c", "python -m venv v && v/bin/python -c 'import sys; print(sys.version_info[1])'")
found["user_install"] = as_agent("sh", "-c", "pip install --user --no-index --dry-run pytest")
found["module"] = as_agent(
    "sh", "-c", "echo 'console.log(parseInt(process.versions.node))' > a.mjs && node a.mjs")
found["commit"] = as_agent(
    "sh", "-c", "git init -q r && cd r && git commit -q --allow-empty -m x && git log --format=%an")
found["trust"] = os.path.getsize("/etc/ssl/certs/ca-certificates.crt")
found["lists"] = [name for _, _, files in os.walk("/var/lib/apt/lists") for name in files]
found["shadow"] = [line.split(":")[:2] for line in open("/etc/shadow")]
json.dump(found, open("/found.json", "w"))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    name: str
    reference: str
    found: dict[str, Any]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.connect(os.environ)


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def look(engine: Engine) -> Callable[[str], Inside]:
    """What the probe finds in a recipe's image, looked for once."""
    return lru_cache(lambda name: probed(engine, name))


@pytest.fixture(params=sorted(TOOLS))
def inside(look: Callable[[str], Inside], request: pytest.FixtureRequest) -> Inside:
    return look(request.param)


@pytest.fixture
def python_inside(look: Callable[[str], Inside]) -> Inside:
    return look("python")


def probed(engine: Engine, name: str) -> Inside:
    """What the probe found in a container of the image; the container is gone again."""
    reference = ensure(engine, name, on_progress=quiet)
    body = {
        "Image": reference,
        "User": "0",
        "Cmd": ["python3", "-c", PROBE, *TOOLS[name].split()],
        "HostConfig": {"NetworkMode": "none"},
    }
    container = engine.create(body)
    try:
        engine.start(container)
        assert engine.wait(container, timeout_s=120) == 0
        archive = b"".join(engine.get_archive(container, "/found.json"))
    finally:
        engine.remove(container)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile("found.json")
        assert file is not None
        return Inside(name=name, reference=reference, found=json.load(file))


def test_no_file_gives_more_rights_than_its_caller_has(inside: Inside) -> None:
    assert inside.found["privileged"] == []
    assert inside.found["capable"] == []


def test_only_tmp_is_open_to_everybody(inside: Inside) -> None:
    assert inside.found["open"] == ["/tmp"]


def test_the_agent_is_user_1000_and_owns_the_workspace(inside: Inside) -> None:
    assert inside.found["agent"] == [1000, 1000, "/home/agent", "/bin/bash"]
    assert inside.found["workspace"] == [1000, 1000, 0o755]


def test_only_root_can_replace_a_program(inside: Inside) -> None:
    own = ("/workspace", "/home/agent")
    assert [path for path in inside.found["agents"] if not path.startswith(own)] == []


def test_it_starts_as_the_agent_in_the_workspace(engine: Engine, inside: Inside) -> None:
    container = engine.create({"Image": inside.reference, "HostConfig": {"NetworkMode": "none"}})
    try:
        config = engine.inspect(container)["Config"]
    finally:
        engine.remove(container)
    assert (config["User"], config["WorkingDir"]) == ("agent", "/workspace")


def test_nobody_has_a_password(inside: Inside) -> None:
    assert {secret for _, secret in inside.found["shadow"]} <= {"*", "!", "!*"}


def test_the_tools_are_there(inside: Inside) -> None:
    assert [name for name, path in inside.found["tools"].items() if path is None] == []


def test_the_compiler_the_venv_and_git_work_for_the_agent(python_inside: Inside) -> None:
    assert python_inside.found["compile"] == [0, ""]
    assert python_inside.found["venv"] == [0, f"{MINORS['python']}\n"]
    assert python_inside.found["commit"] == [0, "agent\n"]


def test_node_works_for_the_agent(look: Callable[[str], Inside]) -> None:
    assert look("node").found["module"] == [0, f"{NODE_MAJOR}\n"]


def test_pip_is_not_held_off_by_the_systems_package_manager(python_inside: Inside) -> None:
    assert "externally-managed" not in python_inside.found["user_install"][1]
    assert python_inside.found["user_install"][0] == 0


def test_trust_store_filled_and_package_lists_removed(inside: Inside) -> None:
    assert inside.found["trust"] > 100_000
    assert inside.found["lists"] == []


def test_unchanged_it_is_neither_built_nor_talked_about(engine: Engine, inside: Inside) -> None:
    before = engine.image(inside.reference)
    lines: list[str] = []
    assert ensure(engine, inside.name, on_progress=lines.append) == inside.reference
    assert lines == []
    assert engine.image(inside.reference) == before


def test_latest_and_the_listing_name_it(engine: Engine, inside: Inside) -> None:
    latest, exact = engine.image(f"moonpool/{inside.name}:latest"), engine.image(inside.reference)
    assert latest is not None
    assert exact is not None
    assert latest.id == exact.id
    (row,) = [row for row in listing.rows(engine) if row.reference == inside.reference]
    assert (row.recipe, row.state, row.image_id) == (inside.name, "ready", exact.id)


@pytest.fixture
def scratch(engine: Engine, inside: Inside) -> Iterator[str]:
    """Name of a recipe whose images are removed afterwards. With `inside`, the base is there."""
    name = f"test-{uuid4().hex[:12]}"
    yield name
    for info in engine.images(f"{build.RECIPE_LABEL}={name}"):
        for tag in info.tags:
            engine.remove_image(tag)


def test_a_changed_recipe_gets_another_image(engine: Engine, scratch: str) -> None:
    one = Recipe(
        name=scratch, files={"Dockerfile": f"FROM {BASE}\nCOPY a /a\n".encode(), "a": b"1"}
    )
    two = Recipe(name=scratch, files={**one.files, "a": b"2"})
    first = ensure_recipe(engine, one, {}, on_progress=quiet)
    second = ensure_recipe(engine, two, {}, on_progress=quiet)
    built = [engine.image(ref) for ref in (first, second, f"moonpool/{scratch}:latest")]
    assert built[0] is not None
    assert built[1] is not None
    assert built[0].id != built[1].id
    assert built[2] == built[1]
    assert built[1].labels[build.DIGEST_LABEL] == two.digest({})


def test_a_dockerfile_that_fails_is_told_with_its_last_lines(engine: Engine, scratch: str) -> None:
    broken = Recipe(
        name=scratch,
        files={"Dockerfile": f"FROM {BASE}\nRUN echo what went wrong >&2; exit 9\n".encode()},
    )
    with pytest.raises(ImageUnusable) as caught:
        ensure_recipe(engine, broken, {}, on_progress=quiet)
    text = str(caught.value)
    assert text.startswith(f"the image {scratch} does not build")
    assert "returned a non-zero code: 9" in text
    assert text.endswith("what went wrong")
    assert engine.image(broken.reference({})) is None


def test_a_dockerfile_that_is_none_is_told_too(engine: Engine, scratch: str) -> None:
    broken = Recipe(name=scratch, files={"Dockerfile": f"FROM {BASE}\nNONSENSE\n".encode()})
    with pytest.raises(ImageUnusable, match="NONSENSE"):
        ensure_recipe(engine, broken, {}, on_progress=quiet)


def test_a_base_no_registry_serves_is_an_error_that_says_what_to_do(engine: Engine) -> None:
    recipe = Recipe(name="x", files={"Dockerfile": b"FROM moonpool-no-such-base.invalid/x:1\n"})
    with pytest.raises((ImageUnusable, EngineError), match=r"can't be pulled .*docker load"):
        ensure_recipe(engine, recipe, {}, on_progress=quiet)
