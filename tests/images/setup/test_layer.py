"""A layer is found again by all that went into it, and by nothing else."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fakes.image_engine import FakeEngine
from images.setup.layer import find_or_make
from policies.policy import Policy
from sandbox.container.prepared_image import layer_file
from sandbox.engine.values import LABEL_REPLACED, LABEL_SETUP, ImageInfo
from sandbox.errors import ImageUnusable, SandboxError


@dataclass(kw_only=True)
class EveryLayer(FakeEngine):
    """Holds a base image, and every layer that it is asked for."""

    base_id: str = "sha256:base"
    labels: dict[str, str] = field(default_factory=dict)
    lies: bool = False

    def image(self, ref: str) -> ImageInfo | None:
        if ref == "missing":
            return None
        labels = {LABEL_SETUP: "moonpool/setup:other" if self.lies else ref, **self.labels}
        return ImageInfo(
            id=self.base_id, tags=(ref,), labels={} if ref == "base" else labels,
            size_bytes=10 << 20 if ref == "base" else 15 << 20, created="", layers=(),
            architecture="amd64", os="linux",
        )  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def policy(default_policy: Policy) -> Policy:
    setup = replace(default_policy.setup, commands=("true",), inputs=("*.lock",))
    return replace(default_policy, setup=setup)


def _found(policy: Policy, workspace: Path, told: list[str] | None = None, **engine: Any) -> str:
    told = [] if told is None else told
    held = EveryLayer(**engine)
    return find_or_make(held, "base", policy, workspace, on_progress=told.append).image


def _with(policy: Policy, **setup: Any) -> Policy:
    return replace(policy, setup=replace(policy.setup, **setup))


def test_what_decides_the_result_is_in_the_key(policy: Policy, workspace: Path) -> None:
    (workspace / "a.lock").write_text("1")
    keys = [_found(policy, workspace)]
    assert _found(policy, workspace) == keys[0]
    keys += [
        _found(_with(policy, commands=("false",)), workspace),
        _found(_with(policy, commands=("true", "true")), workspace),
        _found(_with(policy, network=("a.example",)), workspace),
        _found(_with(policy, as_root=True), workspace),
        _found(_with(policy, secrets=("TOKEN",)), workspace),
        _found(_with(policy, cooldown_s=60.0), workspace),
        _found(replace(policy, env={"A": "b"}), workspace),
        _found(policy, workspace, base_id="sha256:new"),
    ]
    (workspace / "a.lock").write_text("2")
    keys.append(_found(policy, workspace))
    (workspace / "a.lock").chmod(0o755)
    keys.append(_found(policy, workspace))
    (workspace / "a.lock").rename(workspace / "b.lock")
    keys.append(_found(policy, workspace))
    assert len(set(keys)) == len(keys)


def test_one_file_cut_in_two_is_another_input(policy: Policy, workspace: Path) -> None:
    (workspace / "a.lock").write_bytes(b"x" + b"6 b.lock 0 1\0y")
    first = _found(policy, workspace)
    (workspace / "a.lock").write_bytes(b"x")
    (workspace / "b.lock").write_bytes(b"y")
    assert _found(policy, workspace) != first


def test_what_does_not_decide_it_is_not(policy: Policy, workspace: Path) -> None:
    key = _found(policy, workspace)
    (workspace / "main.py").write_text("x")
    limits = replace(policy.limits, time_s=1.0)
    assert _found(replace(policy, limits=limits, commands=()), workspace) == key


def test_the_value_of_a_secret_is_not_in_the_key(
    policy: Policy, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = _with(policy, secrets=("TOKEN",))
    key = _found(named, workspace)
    monkeypatch.setenv("TOKEN", "another-value")
    assert _found(named, workspace) == key


def test_what_is_there_is_said_with_its_size_and_touched(
    policy: Policy, workspace: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    ref = _found(_with(policy, network=("a.example",), as_root=True), workspace, told)
    assert told == [
        "set-up: there already (5 MiB)",
        "set-up reached: a.example",
        "set-up ran as root (setup.as_root)",
    ]
    assert layer_file(tmp_path / "cache/moonpool", ref.rpartition(":")[2]).exists()


def test_programs_that_the_policy_lists_are_named_where_set_up_replaced_them(
    policy: Policy, workspace: Path
) -> None:
    told: list[str] = []
    labels = {LABEL_REPLACED: '["/usr/bin/python3", "/usr/bin/unheard", "/etc/passwd"]'}
    _found(policy, workspace, told, labels=labels)
    assert told[1:] == ["set-up replaced programs that the policy lists: /usr/bin/python3"]


def test_an_image_that_has_a_layers_name_alone_is_none(policy: Policy, workspace: Path) -> None:
    """It is made again, which here fails at the first secret."""
    with pytest.raises(SandboxError, match="TOKEN"):
        _found(_with(policy, secrets=("TOKEN",)), workspace, lies=True)


def test_no_image_to_begin_with_is_said(policy: Policy, workspace: Path) -> None:
    with pytest.raises(ImageUnusable, match="there is no image missing: get it"):
        find_or_make(EveryLayer(), "missing", policy, workspace, on_progress=lambda _: None)
