"""Baseline + patch is what stood in the container: byte for byte, mode for mode."""

import errno
import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings

from patch.random_worlds import pairs
from patch.worlds import World, patch_between, read_world, user_git, write_world
from sandbox.apply import apply_patch
from sandbox.gitstore import Store
from sandbox.manifest import SYMLINK
from sandbox.pathrules import leaves_tree, refusal


def a_loop_became_a_directory(checkout: Path, old: World, new: World) -> bool:
    """git itself gives up on this one (apply.c: ELOOP is no missing file); see the test below."""
    return any(
        mode == SYMLINK and is_loop(os.fsencode(checkout) + b"/" + path)
        for path, (mode, _) in old.items()
        if any(other.startswith(path + b"/") for other in new)
    )


def is_loop(path: bytes) -> bool:
    try:
        os.stat(path)
    except OSError as problem:
        return problem.errno == errno.ELOOP
    return False


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
        if patch.data and not a_loop_became_a_directory(checkout, old, new):
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
