"""The way out of one set-up: what its policy's words and hosts come to, and the proxy for them."""

import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from images import recipes
from images.setup import job, proxy
from images.setup.proxy import RunningProxy
from images.setup.registries import ask_here, registries
from images.setup.squid import AllowedHosts
from policies.file.scalars import NETWORK_WORDS
from policies.policy import Policy
from sandbox.container import guest_runtime, seccomp
from sandbox.container.own_files import hosts_file
from sandbox.container.spec import ContainerSpec
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE, LABEL_MANAGED, ImageInfo
from sandbox.errors import SetupFailed

_ASK_TIME_S = 120
_PROXY = "http://127.0.0.1:3128"
_PROXY_VARIABLES = (
    "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "npm_config_proxy",
    "npm_config_https_proxy", "YARN_HTTP_PROXY", "YARN_HTTPS_PROXY", "CARGO_HTTP_PROXY",
)  # fmt: skip
_QUIET = {
    "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_PROGRESS_BAR": "off",
    "PIP_ROOT_USER_ACTION": "ignore", "npm_config_update_notifier": "false",
    "npm_config_fund": "false", "npm_config_audit": "false", "UV_LINK_MODE": "copy",
    "PIP_COMPILE": "0", "UV_COMPILE_BYTECODE": "0", "pnpm_config_pm_on_fail": "ignore",
}  # fmt: skip
"""Bytecode is made at the end (`images.setup.inside.runner`). The pnpm that runs is the one that a
command names, and not one that it fetches in its place."""
_ONLINE = {"NPM_CONFIG_OFFLINE": "false", "CARGO_NET_OFFLINE": "false"}
"""In place of what a policy says of the agent's time, spelled as the bundled ones spell it: of two
spellings npm takes the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """What a set-up's container gets for its way out; with no proxy there is none."""

    variables: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Text by path relative to the home directory."""
    proxy: RunningProxy | None = None

    @property
    def volume(self) -> str:
        return self.proxy.volume if self.proxy else ""


def relay() -> str:
    """Source of what hands connections on, at both ends."""
    return (resources.files("images") / "recipes" / "proxy" / "relay.py").read_text("utf-8")


@contextmanager
def egress(
    engine: Engine,
    below: ImageInfo,
    policy: Policy,
    *,
    owner: str,
    on_progress: Callable[[str], None],
    alone: str,
) -> Generator[Egress]:
    """The way out that a policy's ``setup.network`` asks for, for as long as it is held.
    `alone`: as for `proxy.lease`.

    Raises:
        SandboxError: a word can't be told, a registry can't be reached so, or no proxy starts.
    """
    if not policy.setup.network:
        yield Egress(variables=_QUIET)
        return
    words = [name for name in policy.setup.network if name in NETWORK_WORDS]
    answers = _answers(engine, below, policy, words, on_progress=on_progress)
    clients = [registries(word, answers[word], engine.environ) for word in words]
    allowed = AllowedHosts(
        names=tuple(name for name in policy.setup.network if name not in NETWORK_WORDS),
        registries=tuple(sorted({host for client in clients for host in client.hosts})),
    )
    variables = _QUIET | _ONLINE | dict.fromkeys(_PROXY_VARIABLES, _PROXY)
    files: dict[str, str] = {}
    for client in clients:
        variables |= client.variables
        files |= client.files
    variables |= _cooldown(policy, words, answers, on_progress)
    with proxy.lease(
        engine, allowed,
        time_s=policy.limits.time_s, owner=owner, on_progress=on_progress,
        alone=alone,
    ) as running:  # fmt: skip
        yield Egress(variables=variables, files=files, proxy=running)


def _answers(
    engine: Engine,
    below: ImageInfo,
    policy: Policy,
    words: Sequence[str],
    *,
    on_progress: Callable[[str], None],
) -> dict[str, Any]:
    here = ask_here(words, engine.environ)
    lacking = [word for word in words if word not in here]
    if lacking and policy.setup.secrets and policy.image not in recipes.names():
        raise SetupFailed(
            f"this machine has no {', '.join(lacking)} to say which registry it uses, and an image "
            "is not asked where a secret may go: name the host in setup.network"
        )
    if not lacking and not policy.setup.cooldown_s:
        return here
    if lacking:
        on_progress(f"set-up: {', '.join(lacking)} is not on this machine, asking the image's own")
    inside = _ask_image(engine, below, words)
    unknown = [word for word in lacking if word not in inside]
    if unknown:
        raise SetupFailed(
            f"neither this machine nor the image has {', '.join(unknown)} to say which registry it "
            "uses: take an image that has it, or name the host in setup.network"
        )
    return {**inside, **here, "": {word: row["cooldown"] for word, row in inside.items()}}


def _ask_image(engine: Engine, below: ImageInfo, words: Sequence[str]) -> dict[str, Any]:
    foreign = guest_runtime.is_needed(below)
    spec = ContainerSpec(
        image=guest_runtime.without_volumes(engine, below) if foreign else below.id,
        command=job.BROUGHT_PYTHON if foreign else job.PYTHON,
        labels={LABEL_MANAGED: "1", LABEL_DEADLINE: str(int(time.time()) + 2 * _ASK_TIME_S)},
        cpus=1.0,
        memory_bytes=1 << 30,
        pids=128,
        file_bytes=1 << 20,
        seccomp_profile=seccomp.profile(exec_memory_files=True),
        keeps_environment=True,
        hosts_file=str(hosts_file(engine.cache)),
    )
    container = job.create(engine, spec)
    output = bytearray()
    try:
        job.run(
            engine,
            container,
            spec,
            source=job.source("ask_clients"),
            told=lambda: {"words": list(words)},
            on_output=output.extend,
            time_s=_ASK_TIME_S,
        )
        found: dict[str, Any] = json.loads(output)
    except ValueError as error:
        raise SetupFailed("the image does not say which registries its clients use") from error
    finally:
        engine.remove(container)
    return found


def _cooldown(
    policy: Policy,
    words: Sequence[str],
    answers: Mapping[str, Any],
    on_progress: Callable[[str], None],
) -> dict[str, str]:
    """What keeps clients from releases that are too young, and a line where nothing does."""
    if not policy.setup.cooldown_s:
        return {}
    able = answers.get("", {})
    lacking = [word for word in words if not able.get(word)]
    if lacking:
        on_progress(f"set-up: {', '.join(lacking)} can't be told of setup.cooldown")
    before = datetime.fromtimestamp(time.time() - policy.setup.cooldown_s, UTC)
    text = before.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"UV_EXCLUDE_NEWER": text, "PIP_UPLOADED_PRIOR_TO": text, "npm_config_before": text}
