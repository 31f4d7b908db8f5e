"""The container's flags: every one is compared with what runs."""

import copy
from typing import Any

import pytest

from policies.loading import load
from policies.paths import WORKSPACE
from sandbox.container.spec import ContainerSpec, container_spec, differences

SPEC = ContainerSpec(
    image="moonpool/snapshot:x",
    command=("python3", "-c", "guest"),
    labels={"a": "b"},
    cpus=1.5,
    memory_bytes=1 << 30,
    pids=64,
    file_bytes=1 << 20,
    seccomp_profile="{}",
)


def running() -> dict[str, Any]:
    """What an engine says of a container that runs as planned."""
    body: dict[str, Any] = copy.deepcopy(SPEC.body())
    host = body.pop("HostConfig")
    for key in ("Binds", "CapAdd", "VolumesFrom", "Mounts"):
        host[key] = None  # as engines write an empty list
    host |= {"Runtime": "runc", "Isolation": "", "OomScoreAdj": 0}
    return {
        "HostConfig": host,
        "Config": {**body, "Cmd": None},
        "Mounts": [],
        "NetworkSettings": {"Networks": {"none": {}}},
        "State": {"Running": True, "Status": "running"},
    }


def another(value: object) -> object:
    """A value of the same kind that is not the same."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "host"
        case list():
            return [] if value else ["/:/host"]
        case dict():
            return {**value, "Name": "always", "Type": "json-file"}
        case _:
            raise AssertionError(value)


def test_a_container_that_runs_as_planned_has_no_differences() -> None:
    assert differences(SPEC, running()) == []


@pytest.mark.parametrize("key", SPEC.host_config())
def test_a_changed_flag_is_found(key: str) -> None:
    container = running()
    container["HostConfig"][key] = another(SPEC.host_config()[key])
    (found,) = differences(SPEC, container)[:1]
    assert found.startswith(key)


@pytest.mark.parametrize(
    "key", [key for key, value in SPEC.host_config().items() if value not in ([], {}, "", False)]
)
def test_a_flag_that_the_engine_left_out_is_found(key: str) -> None:
    container = running()
    del container["HostConfig"][key]
    assert any(found.startswith(key) for found in differences(SPEC, container))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Memory", 0),
        ("MemorySwap", -1),
        ("PidsLimit", None),
        ("PidsLimit", 0),
        ("NanoCpus", 0),
        ("NetworkMode", "bridge"),
        ("NetworkMode", "default"),
        ("CapDrop", None),
        ("CapAdd", ["SYS_ADMIN"]),
        ("Privileged", True),
        ("Binds", ["/:/host"]),
        ("Mounts", [{"Type": "bind", "Source": "/", "Target": "/host"}]),
        ("Devices", [{"PathOnHost": "/dev/kvm"}]),
        ("PidMode", "host"),
        ("IpcMode", "host"),
        ("UTSMode", "host"),
        ("UsernsMode", "host"),
        ("SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
        ("SecurityOpt", ["seccomp={}"]),
        ("LogConfig", {"Type": "json-file", "Config": {}}),
        ("Ulimits", None),
        ("Ulimits", [{"Name": "core", "Soft": -1, "Hard": -1}]),
        ("RestartPolicy", {"Name": "always", "MaximumRetryCount": 0}),
    ],
)
def test_a_weaker_flag_is_found(key: str, value: object) -> None:
    container = running()
    container["HostConfig"][key] = value
    assert any(found.startswith(key) for found in differences(SPEC, container))


@pytest.mark.parametrize("key", ["MaskedPaths", "ReadonlyPaths"])
def test_one_open_path_is_found_and_one_more_closed_path_is_fine(key: str) -> None:
    container = running()
    container["HostConfig"][key].append("/proc/more")
    assert differences(SPEC, container) == []
    gone = container["HostConfig"][key].pop(0)
    assert differences(SPEC, container) == [f"{key}: lacks {gone}"]


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("Config", {"User": "root"}),
        ("Config", {"User": ""}),
        ("Config", {"Image": "moonpool/snapshot:y"}),
        ("Config", {"Tty": True}),
        ("Config", {"Entrypoint": ["sh"]}),
        ("Config", {"Entrypoint": None}),
        ("Config", {"Cmd": ["extra"]}),
        ("NetworkSettings", {"Networks": {"none": {}, "bridge": {}}}),
        ("State", {"Running": False, "Status": "exited"}),
    ],
)
def test_a_difference_beside_the_flags_is_found(part: str, change: dict[str, object]) -> None:
    container = running()
    container[part] |= change
    assert len(differences(SPEC, container)) == 1


def test_a_mount_from_anywhere_is_found() -> None:
    container = running()
    container["Mounts"] = [{"Type": "volume", "Destination": WORKSPACE}]
    assert differences(SPEC, container) == ["Mounts: '/workspace' was not planned"]


@pytest.mark.parametrize("described", [{}, {"HostConfig": None, "Config": None, "State": None}])
def test_an_engine_that_says_nothing_proves_nothing(described: dict[str, object]) -> None:
    assert len(differences(SPEC, described)) > 10


def test_the_policy_s_limits_are_the_container_s() -> None:
    policy = load("default")
    spec = container_spec(policy, image="i", command=["c"], labels={}, hosts_file="")
    host = spec.host_config()
    assert host["Memory"] == host["MemorySwap"] == policy.limits.memory_bytes
    assert host["NanoCpus"] == int(policy.limits.cpus * 1_000_000_000)
    assert host["PidsLimit"] == policy.limits.pids
    assert {"Name": "fsize", "Soft": spec.file_bytes, "Hard": spec.file_bytes} in host["Ulimits"]  # type: ignore[operator]
