"""Directories of the layers below are not looked into, and yet nothing that changed is missed."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conftest import OpenBox
from policies.loading import load
from sandbox.guest.files import is_untouched
from sandbox.sandbox import Sandbox

WAYS = {
    "append": "echo more >> {}/f",
    "same size and time": "touch -r {0}/f /tmp/t; echo new > {0}/f; touch -r /tmp/t {0}/f",
    "mode": "chmod +x {}/f",
    "delete": "rm {}/f",
    "delete all of it": "rm -r {}",
    "another in its place": "rm {0}/f; mkdir {0}/f; echo in > {0}/f/g",
    "a link in its place": "ln -sf elsewhere {}/f",
    "renamed away": "mv {}/f ./away",
    "another name of it": "ln {0}/f {0}/g; echo two >> {0}/g",
    "mapped": """python3 -c "import mmap,os; mmap.mmap(os.open('{}/f',os.O_RDWR),0)[0]=33" """,
    "the directory moved": "mv {} ./moved",
    "another directory in its place": "rm -r {0}; mkdir {0}; echo n > {0}/n",
    "by a name that was open before": "(cd {}; exec 9>>f; cd /; echo late >&9)",
    "a file beside it": "echo x > {}/new",
    "below a new directory": "mkdir {0}/n; mkdir {0}/n/m; echo x > {0}/n/m/o",
}  # fmt: skip


def fill(workspace: Path) -> None:
    for number in range(len(WAYS)):
        for deep in ("a", "b"):
            folder = workspace / f"d{number}" / deep / "c"
            folder.mkdir(parents=True)
            (folder / "f").write_text("old\n")
            (folder / "same").write_text("same\n")
    (workspace / "whole").mkdir()
    (workspace / "whole" / "f").write_text("f\n")


def standing(box: Sandbox) -> dict[bytes, bytes]:
    """git's id of every file and link that stands, by its path, as a command sees it."""
    script = (
        "import hashlib,os,sys\n"
        "for top, _, names in os.walk(b'.'):\n"
        "  links = [n for n in _ if os.path.islink(os.path.join(top, n))]\n"
        "  for name in names + links:\n"
        "    path = os.path.join(top, name)\n"
        "    link = os.path.islink(path)\n"
        "    data = os.readlink(path) if link else open(path,'rb').read()\n"
        "    blob = hashlib.sha1(b'blob %d\\0' % len(data) + data).hexdigest()\n"
        "    mode = b'l' if link else b'x' if os.stat(path).st_mode & 64 else b'f'\n"
        "    sys.stdout.buffer.write(path[2:] + b' ' + mode + blob.encode() + b'\\n')\n"
    )
    done = box.run_program(["python3", "-c", script])
    assert done.exit_code == 0, done.stderr
    return dict(line.split(b" ") for line in done.stdout.splitlines())


@pytest.mark.parametrize("exec_workspace", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_whatever_changed_deep_below_is_in_the_patch(
    layers: int, exec_workspace: Any, open_box: OpenBox, workspace: Path, tmp_path: Path
) -> None:
    policy = replace(load("default"), exec_workspace=exec_workspace)
    fill(workspace)
    if layers == 2:
        open_box(policy=policy).close()
        (workspace / "d0" / "b" / "c" / "f").write_text("changed before\n")
        (workspace / "d1" / "added").mkdir()
        (workspace / "d1" / "added" / "f").write_text("added before\n")
    box = open_box(policy=policy)
    before = standing(box)
    for number, way in enumerate(WAYS.values()):
        done = box.run(way.format(f"d{number}/a/c"))
        assert done.exit_code == 0, (way, done.stderr)
    after = standing(box)
    step = box.checkpoint(tmp_path / "steps")
    patch = box.export()
    assert set(patch.results) == {
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    }
    assert {path for path, entry in step.changed.items() if entry is None} == (
        before.keys() - after.keys()
    )
    for path, entry in step.changed.items():
        if entry is not None:
            assert after[path][1:].decode() == entry.blob


def test_a_directory_tells_only_where_it_lies_in_one_lower_layer(tmp_path: Path) -> None:
    state = tmp_path.stat()
    device, later = state.st_dev, state.st_ctime_ns + 1
    assert is_untouched(state, later, frozenset({device}))
    assert not is_untouched(state, state.st_ctime_ns, frozenset({device})), "it was changed"
    assert not is_untouched(state, later, frozenset({device + 1})), "no layered file system"
    fields = list(state)
    merged = os.stat_result((*fields[:3], 1, *fields[4:]), {"st_ctime_ns": state.st_ctime_ns})
    assert merged.st_dev == device
    assert not is_untouched(merged, later, frozenset({device})), "it lies in two"
