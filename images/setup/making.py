"""Running a set-up: its commands in a sealed container, with the way out that its policy lists."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

from images.build import ensure
from images.recipes import RUNTIME
from images.setup import job, secrets
from images.setup.authorities import VARIABLES, bundles
from images.setup.egress import Egress, egress, relay
from images.setup.inputs import SetupInput
from images.setup.keeping import ENVIRONMENT, keep
from images.setup.progress import SetupOutput
from images.setup.proxy import SOCKET, RunningProxy
from policies.errors import first_lines
from policies.paths import WORKSPACE
from policies.policy import Policy
from sandbox.container import guest_runtime, seccomp
from sandbox.container.mounts import HeldVolume, Mount, Scratch
from sandbox.container.own_files import hosts_file
from sandbox.container.spec import USER, ContainerSpec
from sandbox.engine import tar
from sandbox.engine.docker import Engine
from sandbox.engine.values import (
    LABEL_ATTEMPT,
    LABEL_DEADLINE,
    LABEL_MANAGED,
    LABEL_OWNER,
    ImageInfo,
    owner,
)
from sandbox.errors import SandboxError, SetupFailed

_UID = 1000
_SCRATCH = "/run/moonpool-setup"
_EGRESS = "/run/moonpool-egress"
_SCRATCH_BYTES = 16 << 20
_ROOT_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID")
"""What package managers take; none of them reaches out of the container."""
_FIRST_FAILURE = 10
"""As of `images.setup.inside.runner`."""
_FAILED_REQUESTS = {
    "refused": "the proxy refused what setup.network does not list, or asks without TLS:",
    "unanswered": "the proxy may reach these and got no answer (down, or no such name):",
}
_TOLD = 20
"""How many requests of a kind: who makes a hundred is not to push all else off the screen."""
_OUTLIVES_S = 60
"""How much later the container ends itself where nobody else does."""
_KEPT_S = 3600
"""How long the container of a set-up that failed stands, for a look."""


class SetupMaker:
    """One set-up, from its inputs to a named layer."""

    def __init__(
        self,
        engine: Engine,
        below: ImageInfo,
        policy: Policy,
        *,
        on_progress: Callable[[str], None],
    ) -> None:
        """Raises SetupFailed where a secret is not set."""
        self._engine = engine
        self._below = below
        self._policy = policy
        self._on_progress = on_progress
        self._owner = owner()
        self._secrets = secrets.values(policy.setup.secrets, engine.environ)

    def make(self, inputs: Sequence[SetupInput], ref: str) -> None:
        """Run the commands and give their result a name; errors as `layer.find_or_make`."""
        if self._policy.setup.as_root:
            # What root may have replaced is not what a guest starts with.
            ensure(self._engine, RUNTIME, on_progress=self._on_progress)
        with ThreadPoolExecutor(2) as beside, ExitStack() as way:
            way_out = way.enter_context(egress(
                self._engine, self._below, self._policy,
                owner=self._owner, on_progress=self._on_progress,
                alone=ref if self._secrets else "",
            ))  # fmt: skip
            spec = self._spec(way_out, ref)
            container = job.create(self._engine, spec)
            stays = False
            try:
                self._engine.put_archive(container, "/", _files(inputs))
                try:
                    self._commands(container, spec, way_out)
                except SetupFailed:
                    stays = True  # for a look
                    raise
                if way_out.proxy:
                    for line in _failed_requests(way_out.proxy):
                        self._on_progress(secrets.hidden(f"set-up: {line}", self._secrets))
                ended = beside.submit(way.pop_all().close)
                self._on_progress("set-up: looking through what it made")
                keep(
                    self._engine, container, self._below, self._secrets, ref,
                    inputs=[one.path for one in inputs], as_root=self._policy.setup.as_root,
                    limit_bytes=self._policy.limits.disk_bytes,
                    on_free=lambda: beside.submit(self._remove, container, way_out),
                )  # fmt: skip
                ended.result()
            finally:
                if not stays:
                    self._remove(container, way_out)

    def _remove(self, container: str, way_out: Egress) -> None:
        self._engine.remove(container)
        if way_out.volume:  # which goes with the last container that has it
            self._engine.remove_volumes([way_out.volume])

    def _commands(self, container: str, spec: ContainerSpec, way_out: Egress) -> None:
        out = SetupOutput(self._on_progress, lambda text: secrets.hidden(text, self._secrets))
        ended = job.run(
            self._engine,
            container,
            spec,
            source=job.source("runner"),
            told=lambda: self._told(container, way_out),
            on_output=out,
            time_s=self._policy.limits.time_s,
        )
        if ended.code or ended.stopped:
            raise self._failure(container, ended, out, way_out)

    def _spec(self, way_out: Egress, ref: str) -> ContainerSpec:
        limits, as_root = self._policy.limits, self._policy.setup.as_root
        mounts: tuple[Mount, ...] = (Scratch(target=_SCRATCH, size_bytes=_SCRATCH_BYTES),)
        if way_out.volume:
            mounts += (HeldVolume(volume=way_out.volume, target=_EGRESS, copies=False),)
        below, foreign = self._below, guest_runtime.is_needed(self._below)
        return ContainerSpec(
            image=guest_runtime.without_volumes(self._engine, below) if foreign else below.id,
            command=job.BROUGHT_PYTHON if foreign else job.PYTHON,
            labels={
                LABEL_MANAGED: "1",
                LABEL_OWNER: self._owner,
                LABEL_ATTEMPT: ref,
                LABEL_DEADLINE: str(int(time.time() + limits.time_s + _KEPT_S)),
            },
            cpus=limits.cpus,
            memory_bytes=limits.memory_bytes,
            pids=limits.pids,
            file_bytes=limits.disk_bytes,
            # Package managers wait for the disk at every file, for what is gone if the machine is.
            seccomp_profile=seccomp.profile(exec_memory_files=True, reaches_disk=False),
            mounts=mounts,
            user="0:0" if as_root else USER,
            capabilities=_ROOT_CAPABILITIES if as_root else (),
            keeps_environment=True,
            hosts_file=str(hosts_file(self._engine.cache)),
        )

    def _told(self, container: str, way_out: Egress) -> dict[str, object]:
        rules = self._policy.setup
        if way_out.proxy:  # its container may still be starting: who asks it waits for its answer
            way_out.proxy.starting.add_done_callback(lambda it: self._end(container, it))
        authorities, own_authorities = bundles(self._engine.environ)
        return {
            "commands": list(rules.commands),
            "variables": {**self._policy.env, **way_out.variables, **self._secrets},
            "files": dict(way_out.files),
            "socket": f"{_EGRESS}/{SOCKET}" if way_out.volume else "",
            "relay": relay(),
            "authorities": authorities,
            "own_authorities": own_authorities,
            "trust": list(VARIABLES),
            "scratch": _SCRATCH,
            "as_root": rules.as_root,
            "time_s": self._policy.limits.time_s + _OUTLIVES_S,
            "disk_bytes": self._policy.limits.disk_bytes,
        }

    def _end(self, container: str, starting: Future[str]) -> None:
        """Nothing that asks a proxy that never starts is waited for."""
        if starting.exception():
            with contextlib.suppress(SandboxError):
                self._engine.kill(container)

    def _failure(
        self, container: str, ended: job.JobEnd, out: SetupOutput, way_out: Egress
    ) -> SetupFailed:
        commands, number = self._policy.setup.commands, ended.code - _FIRST_FAILURE
        what = f"set-up was ended (exit code {ended.code})"
        if ended.stopped:
            what = f"set-up was ended: {ended.stopped}"
        elif 0 <= number < len(commands):
            what = f"set-up failed at {' '.join(commands[number].split())!r}"
        lines = [what, *out.last]
        if way_out.proxy:
            lines += _words_of(way_out.proxy)
        lines.append(
            f"what it had done stands for an hour: `moonpool setup --shell` looks into it "
            f"(container {container[:12]})"
        )
        return SetupFailed(secrets.hidden("\n".join(lines), self._secrets))


def _failed_requests(proxy: RunningProxy) -> Iterator[str]:
    """What did not come through a proxy."""
    for name, words in _FAILED_REQUESTS.items():
        if rows := proxy.failed(name):
            yield words
            yield from (f"  {row}" for row in first_lines(rows, _TOLD))


def _words_of(proxy: RunningProxy) -> Iterator[str]:
    """The same, and whether it is the proxy itself."""
    yield from _failed_requests(proxy)
    try:
        proxy.await_answer()
    except SandboxError as error:
        yield str(error)
    else:
        if reason := proxy.ended():
            yield f"set-up's proxy is gone ({reason}): run it again"


def _files(inputs: Sequence[SetupInput]) -> Iterator[bytes]:
    """The inputs in their places, and the folder for an environment of packages."""
    top = WORKSPACE.strip("/").encode()
    above = [one.path.split(b"/")[:-1] for one in inputs]
    folders = {b"/".join((top, *parts[: n + 1])) for parts in above for n in range(len(parts))}
    for folder in sorted({top, ENVIRONMENT.strip("/").encode(), *folders}):
        yield tar.directory(folder, uid=_UID)
    for one in inputs:
        mode = 0o755 if one.executable else 0o644
        yield tar.file(top + b"/" + one.path, one.content, mode=mode, uid=_UID)
    yield tar.END
