"""Baseline + patch is what stood in the container: byte for byte, mode for mode."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from patch.random_worlds import pairs
from patch.worlds import World, patch_between, read_world, user_git, write_world
from sandbox.apply import apply_patch
from sandbox.gitstore import Store
from sandbox.manifest import SYMLINK
from sandbox.pathrules import leaves_tree, refusal


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs())
def test_any_change_survives_the_way_through_a_patch(pair: tuple[World, World]) -> None:
    old, new = pair
    with tempfile.TemporaryDirectory() as room:
        store = Store(Path(room) / "store")
        patch = patch_between(store, old, new)
        left_out = {item.path for item in patch.left_out}
        assert all(refusal(path) for path in left_out), patch.left_out
        expected = {path: what for path, what in new.items() if path not in left_out}
        expected |= {path: what for path, what in old.items() if path in left_out}

        checkout = Path(room) / "checkout"
        write_world(checkout, old)
        if patch.data:
            user_git(checkout, "init", "-q")
            user_git(checkout, "apply", "--whitespace=nowarn", stdin=patch.data)
        assert read_world(checkout) == expected

        plain = Path(room) / "plain"
        write_world(plain, old)
        if not any(
            mode == SYMLINK and leaves_tree(path, content) and old.get(path) != (mode, content)
            for path, (mode, content) in new.items()
        ):
            apply_patch(patch.data, plain, check=False)
            assert read_world(plain) == expected
