"""Where the base image comes from: there already, pulled, or bootstrapped."""

import os
import shutil
from pathlib import Path

import pytest

from fakes.image_engine import FakeEngine, held
from images import base
from images.base import bootstrap_command, ensure_base, mirrors
from sandbox.errors import EngineError, EngineUnavailable, ImageUnusable
from waiting import WAIT_S

DEBIAN = "debian:bookworm-slim"


def quiet(_: str) -> None:
    pass


def test_a_base_that_is_there_is_left_alone() -> None:
    engine = FakeEngine(held={DEBIAN: held(DEBIAN, labels={})})
    ensure_base(engine, DEBIAN, on_progress=quiet)
    assert engine.calls == [f"image {DEBIAN}"]


def test_where_a_registry_answers_it_is_pulled() -> None:
    engine = FakeEngine(registry=frozenset({DEBIAN}))
    ensure_base(engine, DEBIAN, on_progress=quiet)
    assert DEBIAN in engine.held
    assert not [call for call in engine.calls if call.startswith("import")]


@pytest.mark.parametrize(
    "error",
    [
        EngineError("pulling: no such host"),
        EngineUnavailable("pulling: the engine does not answer"),
        None,  # 200, and the failure only in the body
    ],
)
def test_where_none_answers_it_is_bootstrapped(
    error: EngineError | EngineUnavailable | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(base, "_bootstrap_tool", lambda *_: "/usr/bin/mmdebstrap")
    monkeypatch.setattr(base, "_run", lambda command, **_: commands.append(list(command)))
    engine = FakeEngine(pull_error=error)
    lines: list[str] = []
    ensure_base(engine, DEBIAN, on_progress=lines.append)
    ((tool, *arguments),) = commands
    assert tool == "/usr/bin/mmdebstrap"
    assert "bookworm" in arguments
    assert engine.held[DEBIAN].labels == {"moonpool.bootstrapped": "bookworm"}
    assert any("no registry answers, bootstrapping bookworm" in line for line in lines)


def test_a_base_nobody_can_bootstrap_says_what_to_do() -> None:
    engine = FakeEngine(pull_error=EngineError("no such host\nmore"))
    with pytest.raises(ImageUnusable) as caught:
        ensure_base(engine, "node:22", on_progress=quiet)
    assert str(caught.value) == (
        "the base image node:22 can't be pulled (no such host): connect to a registry, or load it "
        "into the engine with `docker load`"
    )


def test_without_the_tool_and_the_right_to_install_it_the_message_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    engine = FakeEngine(pull_error=EngineError("no such host"))
    with pytest.raises(ImageUnusable, match="as root `apt-get install mmdebstrap`"):
        ensure_base(engine, DEBIAN, on_progress=quiet)


def test_a_tool_that_fails_is_reported_with_its_last_lines() -> None:
    with pytest.raises(ImageUnusable, match=r"trying failed \(sh ended with 7\)(?s:.*)\nE: why$"):
        base._run(
            ["sh", "-c", "echo first; echo E: why >&2; exit 7"],
            doing="trying",
            timeout_s=WAIT_S,
            environ=os.environ,
        )


def test_a_tool_that_hangs_is_ended() -> None:
    with pytest.raises(ImageUnusable, match="ended with 124"):
        base._run(["sh", "-c", "sleep 60 & wait"], doing="trying", timeout_s=1, environ=os.environ)


def test_an_interrupted_tool_does_not_go_on(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        base._run(
            ["sh", "-c", f"echo started; sleep 20; touch {canary}"],
            doing="trying",
            timeout_s=WAIT_S,
            environ=os.environ,
            on_line=interrupt,
        )
    assert not canary.exists()


def test_a_tool_is_never_taken_from_the_callers_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    for name in ("timeout", "true", "mmdebstrap", "apt-get"):
        trap = tmp_path / name
        trap.write_text(f"#!/bin/sh\ntouch {canary}\n")
        trap.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    base._run(["true"], doing="trying", timeout_s=WAIT_S, environ=os.environ)
    base._apt_targets(os.environ)
    assert not canary.exists()


TARGETS = """\
http://mirror.invalid/debian/ bookworm main
http://mirror.invalid/debian/ bookworm-updates main
http://mirror.invalid/debian-security/ bookworm-security main
http://mirror.invalid/debian/ bookworm contrib
"""


def test_the_hosts_own_mirror_is_used() -> None:
    assert mirrors(TARGETS, "bookworm") == (
        "deb http://mirror.invalid/debian bookworm main",
        "deb http://mirror.invalid/debian bookworm-updates main",
        "deb http://mirror.invalid/debian-security bookworm-security main",
    )


def test_a_host_of_another_release_lends_its_mirror_not_its_release() -> None:
    newer = TARGETS.replace("bookworm", "trixie")
    assert mirrors(newer, "bookworm") == mirrors(TARGETS, "bookworm")


@pytest.mark.parametrize(
    "targets",
    [
        "",
        "cdrom://disc/ bookworm main\n",
        "http://user:word@mirror.invalid/debian/ bookworm main\n",
        "file:/srv/mirror/ bookworm main\n",
        "http://mirror.invalid/debian-security/ bookworm-security main\n",
        "nonsense\n",
    ],
)
def test_without_a_usable_mirror_the_tools_own_is_used(targets: str) -> None:
    assert mirrors(targets, "bookworm") == ()


def test_the_tools_arguments_end_with_release_target_and_sources() -> None:
    sources = mirrors(TARGETS, "bookworm")
    command = bootstrap_command("mmdebstrap", "bookworm", Path("/x/rootfs.tar"), sources)
    assert command[command.index("--") + 1 :] == ["bookworm", "/x/rootfs.tar", *sources]
    assert "--include=ca-certificates" not in command


def test_a_mirror_over_tls_brings_the_trust_store() -> None:
    sources = mirrors(TARGETS.replace("http://", "https://"), "bookworm")
    command = bootstrap_command("mmdebstrap", "bookworm", Path("/x/rootfs.tar"), sources)
    assert "--include=ca-certificates" in command


def test_debians_tools_get_a_named_few_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOME_API_KEY", "PYTHONPATH", "LD_PRELOAD", "APT_CONFIG", "PERL5OPT"):
        monkeypatch.setenv(name, "mine")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    lines: list[str] = []
    base._run(["env"], doing="trying", timeout_s=WAIT_S, environ=os.environ, on_line=lines.append)
    assert "https_proxy=http://proxy.example:3128" in lines
    assert not [line for line in lines if line.endswith("=mine")]
