"""Python environments of the host, in a copy."""

from pathlib import Path

import pytest

from policies.kernel.image import Inventory, Program
from sandbox.patch.values import LeftOut, LeftOutKind
from sandbox.workspace.scan import FoundFile, scan
from sandbox.workspace.virtual_environments import unusable

PYTHON = Program(path="/usr/bin/python3", interpreter=None, inode=1)
IMAGE = Inventory(
    programs={"/usr/bin/python3": PYTHON}, links={}, directories={}, search_path=("/usr/bin",)
)


def made(root: Path, target: str, *others: str) -> list[LeftOut]:
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/python").symlink_to(target)
    (root / ".venv/bin/python3").symlink_to("python")
    for name in others:
        (root / ".venv" / name).mkdir(parents=True)
    return unusable(root, map(FoundFile._make, scan(root).rows), IMAGE)


@pytest.mark.parametrize(
    "target", ["/home/dev/py/bin/python3", "../../../py/bin/python3", "/usr/bin/python3.99"]
)
def test_a_python_that_leads_out_is_told_once_with_the_way(workspace: Path, target: str) -> None:
    (told,) = made(workspace, target, "lib/python3.12/site-packages")
    assert (told.path, told.kind) == (b".venv", LeftOutKind.UNUSABLE)
    assert target in told.reason
    assert "PYTHONPATH=.venv/lib/python3.12/site-packages" in told.reason


@pytest.mark.parametrize("target", ["/usr/bin/python3", "../../py/python3", "/workspace/py"])
def test_one_that_leads_to_the_images_or_stays_inside_is_none(workspace: Path, target: str) -> None:
    assert made(workspace, target) == []


def test_where_python_works_the_scripts_still_name_the_place_on_the_host(workspace: Path) -> None:
    (told,) = made(workspace, "/usr/bin/python3", "bin/activate")
    assert "use .venv/bin/python)" in told.reason
