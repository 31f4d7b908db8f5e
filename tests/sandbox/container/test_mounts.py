"""Mounts that nothing is executed from: every one is compared with what the engine says."""

import copy
from dataclasses import replace
from typing import Any

import pytest

from sandbox.container.mounts import HELD, HeldVolume, Mount, Overlay, Scratch
from sandbox.container.spec import ContainerSpec, differences

OVERLAY = Overlay(
    target="/workspace", lower="/l/workspace", upper="/u", work="/w", user_attributes=False
)
MOUNTS: tuple[Mount, ...] = (
    Scratch(target="/tmp", size_bytes=1 << 20),
    HeldVolume(volume="upper", target=f"{HELD}/workspace", copies=True),
    HeldVolume(volume="work", target=f"{HELD}/workspace-work", copies=False),
    OVERLAY,
)
MOUNTED = ContainerSpec(
    image="moonpool/snapshot:x",
    command=("python3",),
    labels={"a": "b"},
    cpus=1,
    memory_bytes=1 << 30,
    pids=64,
    file_bytes=1 << 20,
    seccomp_profile="{}",
    mounts=MOUNTS,
)


def row(target: str, name: str) -> dict[str, Any]:
    return {"Type": "volume", "Driver": "local", "Destination": target, "Name": name, "RW": True}


def running() -> dict[str, Any]:
    body: dict[str, Any] = copy.deepcopy(MOUNTED.body())
    return {
        "HostConfig": body.pop("HostConfig"),
        "Config": {**body, "Cmd": None},
        "Mounts": [
            row(f"{HELD}/workspace", "upper"),
            row(f"{HELD}/workspace-work", "work"),
            row("/workspace", "0123abcd"),
        ],
        "NetworkSettings": {"Networks": {"none": {}}},
        "State": {"Running": True},
    }


def test_as_planned_there_are_no_differences() -> None:
    assert differences(MOUNTED, running()) == []


def test_fields_that_an_engine_adds_empty_are_none() -> None:
    container = running()
    for mount in container["HostConfig"]["Mounts"]:
        mount.setdefault("Source", "")
        mount.setdefault("ReadOnly", False)
        mount["VolumeOptions"].setdefault("Subpath", "")
    container["Mounts"].append({"Type": "tmpfs", "Destination": "/tmp"})
    assert differences(MOUNTED, container) == []


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize(
    "change",
    [
        {"Type": "bind"},
        {"Source": "/"},
        {"Target": "/elsewhere"},
        {"VolumeOptions": {"NoCopy": True, "Subpath": "x"}},
        {"VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"o": "exec"}}}},
    ],
)
def test_another_mount_than_was_asked_for_is_found(number: int, change: dict[str, object]) -> None:
    container = running()
    container["HostConfig"]["Mounts"][number] |= change
    assert differences(MOUNTED, container) == ["Mounts: differ from what was asked for"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda rows: rows.pop(),
        lambda rows: rows.append(row("/host", "x")),
        lambda rows: rows.append({"Type": "bind", "Destination": "/tmp", "Source": "/"}),
        lambda rows: rows[0].update(Name="another"),
        lambda rows: rows[2].update(Type="bind"),
        lambda rows: rows[2].update(Driver="nfs"),
    ],
)
def test_another_mount_than_was_planned_is_found(spoil: Any) -> None:
    container = running()
    spoil(container["Mounts"])
    (found,) = differences(MOUNTED, container)
    assert found.startswith("Mounts")


def test_our_hosts_file_may_be_mounted_and_only_it_and_only_to_be_read() -> None:
    def with_hosts(**found: object) -> list[str]:
        container = running()
        asked = replace(MOUNTED, hosts_file="/c/hosts").body(mounts_hosts=True)["HostConfig"]
        container["HostConfig"]["Mounts"] = copy.deepcopy(asked["Mounts"])  # type: ignore[index]
        container["HostConfig"]["Mounts"][-1] |= found.pop("asked", {})
        seen = {"Type": "bind", "Destination": "/etc/hosts", "Source": "/c/hosts", "RW": False}
        container["Mounts"].append({**seen, **found})
        return differences(replace(MOUNTED, hosts_file="/c/hosts"), container)

    assert with_hosts() == []
    for odd in (
        {"RW": True}, {"Source": "/etc/shadow"}, {"Destination": "/etc/passwd"},
        {"asked": {"Source": "/"}}, {"asked": {"ReadOnly": False}}, {"asked": {"Target": "/etc"}},
    ):  # fmt: skip
        assert with_hosts(**odd), odd


def test_a_larger_or_an_executable_scratch_directory_is_found() -> None:
    for options in ("size=9999999", MOUNTS[0].options().replace("noexec", "exec")):  # type: ignore[union-attr]
        container = running()
        container["HostConfig"]["Tmpfs"] = {"/tmp": options}
        assert [text.split(":")[0] for text in differences(MOUNTED, container)] == ["Tmpfs"]


def test_the_room_is_masked() -> None:
    container = running()
    container["HostConfig"]["MaskedPaths"].remove(HELD)
    assert differences(MOUNTED, container) == [f"MaskedPaths: lacks {HELD}"]


def test_every_mount_forbids_execution() -> None:
    for mount in MOUNTS:
        if not isinstance(mount, HeldVolume):
            assert "noexec" in mount.options().split(",")


@pytest.mark.parametrize("path", ["/a,b", "/a:b", "/a\\b"])
def test_a_path_that_would_be_an_option_is_not_mounted(path: str) -> None:
    assert OVERLAY.supported()
    assert not replace(OVERLAY, lower=path).supported()
    assert not replace(OVERLAY, upper=path).supported()
    assert not replace(OVERLAY, work=path).supported()
