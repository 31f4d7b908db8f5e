"""What a task may ask for: policies, images, compose files; all else is refused by its key."""

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.util import ComposeConfig, SandboxEnvironmentSpec

from agent.config import environment
from agent.errors import UsageError
from agent.servers.inspect import samples
from agent.servers.inspect.config import MoonpoolSandboxConfig, request_of
from agent.servers.inspect.provider import MoonpoolSandboxEnvironment
from images.removal import remove
from policies.errors import PolicyError
from sandbox.engine.docker import Engine

OpenEnvironment = Callable[..., Awaitable[MoonpoolSandboxEnvironment]]
REFUSED: dict[str, dict[str, object]] = {
    "volumes:/srv": {"volumes": ["/srv:/srv"]},
    "volumes:docker.sock": {"volumes": ["/var/run/docker.sock:/var/run/docker.sock:ro"]},
    "volumes:long": {"volumes": [{"type": "bind", "source": "/", "target": "/host"}]},
    "env_file": {"env_file": "/etc/environment"},
    "devices": {"devices": ["/dev/kvm"]},
    "privileged": {"privileged": True},
    "cap_add": {"cap_add": ["SYS_ADMIN"]},
    "security_opt": {"security_opt": ["seccomp=unconfined"]},
    "network_mode": {"network_mode": "host"},
    "networks": {"networks": ["outside"]},
    "ports": {"ports": ["8080:80"]},
    "extra_hosts": {"extra_hosts": ["a:127.0.0.1"]},
    "user": {"user": "root"},
    "runtime": {"runtime": "nvidia"},
    "cgroup": {"cgroup": "host"},
    "command": {"command": "python3 server.py"},
    "entrypoint": {"entrypoint": ["/bin/sh", "-c", "redis-server & sleep infinity"]},
    "tmpfs": {"tmpfs": "/run"},
    "shm_size": {"shm_size": "1g"},
    "depends_on": {"depends_on": ["db"]},
    "healthcheck": {"healthcheck": {"test": "true"}},
    "restart": {"restart": "always"},
    "pull_policy": {"pull_policy": "always"},
    "pids_limit": {"pids_limit": -1},
    "mem_limit": {"mem_limit": "much"},
    "cpus": {"cpus": 0},
    "reservations": {"deploy": {"resources": {"reservations": {"memory": "1g"}}}},
    "build.no_cache": {"build": {"context": ".", "no_cache": True}},
    "variables": {"image": "${IMAGE}"},
    "variables in environment": {"environment": {"A": "$HOME"}},
    "environment.PATH": {"environment": {"PATH": "/srv"}},
    "environment.LD_PRELOAD": {"environment": ["LD_PRELOAD=/x.so"]},
    "environment.OPENAI_API_KEY": {"environment": {"OPENAI_API_KEY": "k"}},
    "environment.TOKEN": {"environment": ["TOKEN"]},
    "image": {"image": "../../secrets\n"},
}


def composed(**service: object) -> ComposeConfig:
    return ComposeConfig.model_validate({"services": {"default": service}})


@pytest.mark.parametrize("name", REFUSED)
def test_a_key_that_goes_beyond_a_sealed_container_is_refused_by_name(name: str) -> None:
    service: dict[str, object] = {"image": "debian:stable", **REFUSED[name]}
    (key,) = REFUSED[name]
    with pytest.raises(UsageError, match=key):
        request_of(composed(**service))


def test_what_stands_beside_the_one_service_is_refused() -> None:
    both = {"services": {"default": {"image": "a"}, "db": {"image": "b"}}}
    with pytest.raises(UsageError, match=r"services: one container .* default, db"):
        request_of(ComposeConfig.model_validate(both))
    for key in ("volumes", "networks"):
        more = {"services": {"default": {"image": "a"}}, key: {"x": None}}
        with pytest.raises(UsageError, match=f"^{key}:"):
            request_of(ComposeConfig.model_validate(more))
    odd = {
        "services": {"default": {"image": "a"}},
        "x-moonpool": {"policy": "locked", "root": True},
    }
    with pytest.raises(UsageError, match="x-moonpool"):
        request_of(ComposeConfig.model_validate(odd))


def test_what_a_container_can_have_it_gets() -> None:
    config = {
        "services": {
            "box": {
                "image": "debian:stable",
                "command": ["sleep", "infinity"],
                "entrypoint": "bash -c 'tail -f /dev/null'",
                "init": True,
                "network_mode": "none",
                "cap_drop": ["ALL"],
                "security_opt": ["no-new-privileges:true"],
                "restart": False,
                "pull_policy": "never",
                "working_dir": "/testbed",
                "environment": {"LEVEL": "3", "PRICE": "$$5"},
                "pids_limit": 77,
                "deploy": {"resources": {"limits": {"cpus": 1.5, "memory": "512m"}}},
                "x-local": True,
                "x-default": True,
            }
        },
        "x-moonpool": {"policy": "read-only"},
    }
    asked = request_of(ComposeConfig.model_validate(config))
    assert (asked.name, asked.working_dir, asked.policy.name) == ("box", "/testbed", "read-only")
    assert asked.policy.image == "debian:stable"
    limits = asked.policy.limits
    assert (limits.cpus, limits.memory_bytes, limits.pids) == (1.5, 512 << 20, 77)
    assert {"LEVEL": "3", "PRICE": "$5"}.items() <= asked.policy.env.items()


def test_a_policy_is_named_by_name_by_file_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("{version: 1, name: mine, extends: locked, limits: {pids: 9}}")
    assert request_of(None).policy.name == "evals"
    assert request_of("locked").policy.name == "locked"
    assert request_of(str(file)).policy.limits.pids == 9
    assert request_of(MoonpoolSandboxConfig(policy="locked")).policy.name == "locked"
    with pytest.raises(PolicyError, match="no policy 'nothing'"):
        request_of("nothing")


def test_the_ceiling_stands_over_what_a_task_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "moonpool").mkdir()
    (tmp_path / "moonpool/ceiling.yaml").write_text(
        "{version: 1, name: ceiling, commands: [cat], limits: {memory: 1GiB, time: 10m}, env: {}}"
    )
    asked = request_of(composed(image="debian:stable", mem_limit="8g", environment={"A": "1"}))
    assert {rule.program for rule in asked.policy.commands} == {"cat"}
    assert asked.policy.limits.memory_bytes == 1 << 30
    assert asked.policy.limits.time_s == 600
    assert dict(asked.policy.env) == {}


def test_a_configuration_in_a_log_is_read_again() -> None:
    spec = SandboxEnvironmentSpec("moonpool", MoonpoolSandboxConfig(policy="locked"))
    again = SandboxEnvironmentSpec.model_validate(spec.model_dump())
    assert again.config == MoonpoolSandboxConfig(policy="locked")
    with pytest.raises(ValueError, match="mounts"):
        MoonpoolSandboxEnvironment.config_deserialize({"mounts": ["/"]})


@pytest.mark.anyio
async def test_what_is_refused_is_told_without_a_traceback_and_starts_nothing() -> None:
    with pytest.raises(PrerequisiteError) as caught:
        await samples.prepare(composed(image="a", volumes=["/:/host"]))
    assert r"services.default.volumes" in str(caught.value.message)
    for unknown in ("no-such-image:1", "/no/such/Dockerfile"):
        with pytest.raises(PrerequisiteError):
            await samples.prepare(MoonpoolSandboxConfig(image=unknown))
    assert not samples._standing


@pytest.fixture
def dockerfile(tmp_path: Path) -> Iterator[Path]:
    """In a folder that it copies from; what was built is removed."""
    (tmp_path / "data.txt").write_text("from the folder\n")
    (tmp_path / "Dockerfile").write_text(
        "FROM moonpool/python:latest\nUSER root\nWORKDIR /app\nCOPY data.txt /app/\n"
        "RUN echo built > /app/made.txt\n"
    )
    yield tmp_path / "Dockerfile"
    remove(Engine.connect(environment.environ()), str(tmp_path))


@pytest.mark.anyio
async def test_a_dockerfile_is_built_and_its_folder_worked_in(
    dockerfile: Path, open_environment: OpenEnvironment
) -> None:
    box = await open_environment(str(dockerfile))
    assert await box.read_file("data.txt") == "from the folder\n"
    assert (
        await box.exec(["cat", "made.txt", "/app/data.txt"])
    ).stdout == "built\nfrom the folder\n"
    await box.write_file("/app/new.txt", "written")
    assert (await box.exec(["ls"])).stdout.split() == ["data.txt", "made.txt", "new.txt"]


@pytest.mark.anyio
async def test_a_compose_file_beside_a_task_counts(
    tmp_path: Path, open_environment: OpenEnvironment
) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(
        "services: {box: {image: python, pids_limit: 60, environment: {LEVEL: three}}}\n"
    )
    box = await open_environment(str(file))
    told = await box.exec(
        ["sh", "-c", "echo $LEVEL; cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max"]
    )
    assert told.stdout.split()[0] == "three"
    assert "60" in told.stdout.split()
    many = await box.exec(["sh", "-c", "for i in $(seq 100); do sleep 5 & done; jobs | wc -l"])
    assert "fork" in many.stderr
