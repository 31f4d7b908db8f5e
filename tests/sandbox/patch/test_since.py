"""What is new in a later patch: the earlier one and this give the later one again."""

from pathlib import Path

import pytest

from fakes.box import TmpBox
from sandbox.apply.directory import apply_patch
from sandbox.patch import baseline
from sandbox.patch.baseline import Baseline
from sandbox.patch.selection import patch_since

FILES = {"a": b"1\n2\n3\n", "b": b"b\n", "gone": b"x\n", "bin": bytes(range(256)) * 9}


def kept(box: TmpBox, place: Path) -> tuple[bytes, list[Baseline]]:
    data = box.preview(keep_old=place).data
    found = baseline.load(place)
    return data, [found] if found is not None else []


def test_the_rest_is_what_is_new_whatever_was_changed_and_changed_back(tmp_path: Path) -> None:
    box = TmpBox(files=FILES)
    box.run("echo 4 >> a; echo n > new; rm gone; chmod +x b; ln -s a link")
    before, old_before = kept(box, tmp_path / "before")
    box.run(
        "sed -i s/4/5/ a; echo more >> new; echo x > gone; chmod -x b; rm link; printf z >> bin"
    )
    now, old_now = kept(box, tmp_path / "now")
    rest = patch_since(before, now, old=[*old_before, *old_now])
    target = tmp_path / "target"
    target.mkdir()
    for name, data in FILES.items():
        (target / name).write_bytes(data)
    apply_patch(before, target, check=False)
    apply_patch(rest.data, target, check=False)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        path.name: path.read_bytes() for path in box.workspace.iterdir()
    }
    box.close()


@pytest.mark.parametrize("same", [True, False])
def test_nothing_new_is_no_patch_and_all_undone_is_the_way_back(
    tmp_path: Path, *, same: bool
) -> None:
    box = TmpBox(files=FILES)
    box.run("echo 4 >> a")
    before, old = kept(box, tmp_path / "before")
    rest = patch_since(before, before if same else b"", old=old)
    assert (b"-4" in rest.data) is not same
    assert bool(rest.data) is not same
    box.close()
