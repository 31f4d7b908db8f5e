"""The sandbox provider that Inspect loads by its entry point.

Owns what each of its calls means here. Policies and the ceiling are the operator's, the kernel
holds them, and all commands run as the one user that there is. What a configuration may say is
`config`'s, how a sandbox is opened `samples`'.
"""

import os
import shlex
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Literal, TypeVar, overload

from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxConnection,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
    sandboxenv,
)
from inspect_ai.util import concurrency as throttled
from inspect_ai.util._sandbox.compose import COMPOSE_FILES, DOCKERFILE
from inspect_ai.util._subprocess import max_subprocesses_context_var
from pydantic import BaseModel
from typing_extensions import override

from agent.servers.inspect import results, samples
from agent.servers.inspect.config import MoonpoolSandboxConfig
from policies.file.scalars import HIJACKING, OURS, env_name, env_value
from policies.paths import WORKSPACE
from sandbox.async_sandbox import AsyncSandbox
from sandbox.errors import FileError, SandboxError
from sandbox.results import Leftovers
from sandbox.sandbox import Sandbox

T = TypeVar("T")

_OUR_USERS = {"agent", "1000", "1000:1000"}
_ENV = "/usr/bin/env"
_PROLONG_EVERY_S = 300.0
_POLLING_S = 0.1


@sandboxenv(name="moonpool")
class MoonpoolSandboxEnvironment(SandboxEnvironment):
    """One sealed container, for one sample."""

    def __init__(self, box: AsyncSandbox, container: str) -> None:
        super().__init__()
        self._box = box
        self._container = container
        self._prolonged = time.monotonic()

    # -- commands --------------------------------------------------------------------------

    @override
    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """Run a program, beside whatever else runs; what it leaves running goes on.

        Raises as Inspect says of `SandboxEnvironment.exec`, and:
            ValueError: there is no program, or `env` holds what never enters a container.
        """
        _refuse_user(user)
        if not cmd:
            raise ValueError("a command has a first word")
        await self._prolong()
        words, own = _with_environment(cmd, env or {})

        def work(sandbox: Sandbox, cancel: threading.Event) -> ExecResult[str]:
            try:
                result = sandbox.run_program(
                    words,
                    cwd=cwd or ".",
                    env=own,
                    stdin=input.encode() if isinstance(input, str) else input,
                    timeout_s=timeout,
                    leftovers=Leftovers.KEEP,
                    cancel=cancel,
                )
            except (FileError, UnicodeEncodeError) as error:
                return results.not_started(error, cmd[0])
            return results.told(result, sandbox, asked_s=timeout)

        async with _throttle(concurrency=concurrency):
            return await self._share(work)

    async def _share(self, work: Callable[[Sandbox, threading.Event], T]) -> T:
        """Do some work in a thread. Raises `SandboxUnavailableError` where the sandbox fails."""
        try:
            return await self._box.share(work)
        except SandboxError as error:
            raise SandboxUnavailableError(f"the sandbox failed: {error}") from error
        except RuntimeError as error:
            raise SandboxUnavailableError(str(error)) from error

    async def _prolong(self) -> None:
        """Now and then have the container live on: what nobody uses any more ends by itself."""
        now = time.monotonic()
        if now - self._prolonged > _PROLONG_EVERY_S:
            self._prolonged = now
            await self._share(lambda sandbox, _: sandbox.rouse())

    # -- files -----------------------------------------------------------------------------

    @override
    async def write_file(self, file: str, contents: str | bytes) -> None:
        """Write a file, with the folders above it. Raises as Inspect says."""
        data = contents.encode() if isinstance(contents, str) else contents
        await self._prolong()
        try:
            await self._share(lambda sandbox, _: sandbox.write_file(file, data))
        except FileError as error:
            results.raise_of_file(error, file)

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...  # noqa: FBT002

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    @override
    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        """Read a file, up to Inspect's limit. Raises as Inspect says."""
        limit = SandboxEnvironmentLimits.MAX_READ_FILE_SIZE
        await self._prolong()
        try:
            data = await self._share(lambda sandbox, _: sandbox.read_file(file, limit=limit + 1))
        except FileError as error:
            results.raise_of_file(error, file)
        if len(data) > limit:
            raise OutputLimitExceededError(
                limit_str=SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR, truncated_output=None
            )
        return data.decode("utf-8") if text else data

    # -- a person's way in -----------------------------------------------------------------

    @override
    async def connection(self, *, user: str | None = None) -> SandboxConnection:
        """A shell for a person: held by the container, and not by the policy's kernel rules.

        Raises:
            SandboxUserUnsupportedError: for another user than the one there is.
            ConnectionError: the container does not stand.
        """
        _refuse_user(user)
        if await self._share(lambda sandbox, _: sandbox.is_gone()):
            raise ConnectionError("the sandbox is not running")
        return SandboxConnection(
            type="moonpool",
            command=shlex.join(
                ["docker", "exec", "-it", "--workdir", WORKSPACE, self._container, "bash", "-l"]
            ),
            container=self._container,
        )

    @override
    def default_polling_interval(self) -> float:
        """How often a service in the sandbox is asked, in s: a call takes milliseconds."""
        return _POLLING_S

    # -- over a task and its samples -------------------------------------------------------

    @override
    @classmethod
    def config_files(cls) -> list[str]:
        """What Inspect looks for beside a task that names no configuration."""
        return [*COMPOSE_FILES, DOCKERFILE]

    @override
    @classmethod
    def is_docker_compatible(cls) -> bool:
        return True

    @override
    @classmethod
    def config_deserialize(cls, config: dict[str, Any]) -> BaseModel:
        return MoonpoolSandboxConfig.model_validate(config)

    @override
    @classmethod
    def default_concurrency(cls) -> int | None:
        """As many sandboxes at once as Inspect's own provider has."""
        usable = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
        return 2 * usable

    @override
    @classmethod
    async def task_init(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
    ) -> None:
        """Find or build the image. Raises `PrerequisiteError`, which Inspect prints as it is."""
        await samples.prepare(config)

    @override
    @classmethod
    async def sample_init(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        metadata: dict[str, str],
    ) -> dict[str, SandboxEnvironment]:
        """Open a sandbox. Raises `PrerequisiteError`, `SandboxError`."""
        sample = f"{task_name}-{metadata.get('__sample_id__', '')}"
        name, box, container = await samples.open_one(config, sample)
        return {name: cls(box, container)}

    @override
    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        """Remove a sample's container."""
        for one in environments.values():
            await samples.close_one(one.as_type(MoonpoolSandboxEnvironment)._box)  # noqa: SLF001

    @override
    @classmethod
    async def task_cleanup(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        cleanup: bool,
    ) -> None:
        """Remove what still stands, or where that is not wanted say what does."""
        await samples.finish(config, cleanup=cleanup)

    @override
    @classmethod
    async def cli_cleanup(cls, id: str | None) -> None:
        """``inspect sandbox cleanup moonpool [ID]``."""
        await samples.remove_all(id)


def _refuse_user(user: str | None) -> None:
    if user and user not in _OUR_USERS:
        raise SandboxUserUnsupportedError(
            f"a Moonpool sandbox has one user, `agent`: nothing runs there as {user!r:.80}"
        )


def _with_environment(cmd: list[str], env: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """The words to run and the variables to set.

    What no policy sets, because it decides which program a name leads to, is set by the system's
    own `env`, which the kernel lets run where the policy lists it.
    """
    special = {n: value for n, value in env.items() if HIJACKING.match(n) or n in OURS}
    own = {name: value for name, value in env.items() if name not in special}
    for name, value in own.items():
        try:
            env_name(name)
            env_value(value)
        except ValueError as error:
            raise ValueError(f"the variable {name!r:.80} {error}") from None
    words = [_ENV, *(f"{name}={value}" for name, value in special.items())] if special else []
    return [*words, *cmd], own


def _throttle(*, concurrency: bool) -> AbstractAsyncContextManager[object]:
    """As many at once as Inspect lets subprocesses run: what counts is the load on this machine."""
    if not concurrency:
        return nullcontext()
    return throttled("subprocesses", max_subprocesses_context_var.get())
