"""Moonpool as a sandbox of Inspect beside Inspect's own Docker provider: exec, start, a whole eval.

Both on the same engine and image, in turn; times are medians. `make test-inspect` makes what it
needs. Inspect's provider wants an engine of 24.0.6 or later and `docker compose`, by its own check:
on an older engine it is made to go on, and that is said.

    .venv-inspect/bin/python -P benchmarks/inspect_provider.py [--rounds N] [--samples N]
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from inspect_ai import Task, eval_async
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessage, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import TaskState, generate, use_tools
from inspect_ai.tool import bash
from inspect_ai.util import ComposeConfig, SandboxEnvironmentSpec, sandbox
from inspect_ai.util._sandbox.docker import docker as docker_provider
from inspect_ai.util._sandbox.docker import prereqs
from inspect_ai.util._sandbox.registry import registry_find_sandboxenv

IMAGE = "moonpool/python:latest"
COMPOSE = ComposeConfig.model_validate(
    {
        "services": {
            "default": {
                "image": IMAGE,
                "command": "tail -f /dev/null",
                "init": True,
                "network_mode": "none",
                "x-local": True,
            }
        }
    }
)
EXECS = 20
CALLS = 3
AT_ONCE = 8
TARGETS = {"exec": 0.05, "start": 0.3, "eval": 0.4}
Timed = dict[str, list[float]]


class Provider(NamedTuple):
    name: str
    config: ComposeConfig | None


PROVIDERS = (Provider("moonpool", None), Provider("docker", COMPOSE))


async def seconds(call: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await call()
    return time.perf_counter() - start


async def one_sample(provider: Provider, times: Timed) -> None:
    """A sample's start, commands and end, by the provider's own calls."""
    kind = registry_find_sandboxenv(provider.name)
    await kind.task_init("bench", provider.config)
    found: dict[str, Any] = {}

    async def start() -> None:
        found.update(await kind.sample_init("bench", provider.config, {"__sample_id__": "1"}))
        assert (await found["default"].exec(["true"])).success

    times["start"].append(await seconds(start))
    box = found["default"]
    for _ in range(EXECS):
        times["exec"].append(await seconds(lambda: box.exec(["true"])))
    data = bytes(range(256)) * 4096

    async def files() -> None:
        await box.write_file("a.bin", data)
        assert await box.read_file("a.bin", text=False) == data

    times["1 MiB in and out"].append(await seconds(files))
    times["end"].append(
        await seconds(lambda: kind.sample_cleanup("bench", provider.config, found, False))
    )
    await kind.task_cleanup("bench", provider.config, True)


@scorer(metrics=[accuracy()])
def as_written() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:  # noqa: ARG001 - Inspect's
        done = await sandbox().exec(["cat", "answer.txt"])
        return Score(value="C" if done.stdout.strip() == target.text else "I")

    return score


def answer(messages: list[ChatMessage], *_: object) -> ModelOutput:
    """Some calls of the shell, then the end; as many tokens as nobody has to count."""
    calls = sum(message.role == "assistant" for message in messages)
    asked = next(message for message in messages if message.role == "user").text
    if calls < CALLS:
        command = f"echo {asked} > answer.txt; ls -la"
        found = ModelOutput.for_tool_call("mockllm/model", "bash", {"command": command})
    else:
        found = ModelOutput.from_content("mockllm/model", "done")
    found.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    return found


async def one_eval(provider: Provider, samples: int) -> float:
    task = Task(
        dataset=[Sample(input=str(at), target=str(at)) for at in range(samples)],
        solver=[use_tools(bash(timeout=60)), generate()],
        scorer=as_written(),
        sandbox=SandboxEnvironmentSpec(provider.name, provider.config),
    )
    with tempfile.TemporaryDirectory() as logs:
        began = time.perf_counter()
        (log,) = await eval_async(
            task,
            model=get_model("mockllm/model", custom_outputs=answer),
            max_sandboxes=AT_ONCE,
            max_samples=AT_ONCE,
            log_dir=logs,
            log_level="error",
        )
        took = time.perf_counter() - began
    assert log.status == "success", log.error
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == 1
    return took


async def allow_older_engine() -> str:
    """Have Inspect's provider go on where its own check of the engine says no; what it said."""
    try:
        await prereqs.validate_prereqs()
    except PrerequisiteError as error:
        said = str(error.message).splitlines()[0]
        if "Docker Engine >=" not in said:
            raise SystemExit(f"Inspect's own provider can't run here: {said}") from None

        async def go_on() -> None:
            await prereqs.validate_docker_compose()

        vars(docker_provider)["validate_prereqs"] = go_on
        return said
    return ""


async def measured(rounds: int, samples: int) -> dict[str, Timed]:
    rows: dict[str, Timed] = {}
    for provider in PROVIDERS:
        rows[provider.name] = {"start": [], "exec": [], "1 MiB in and out": [], "end": []}
    for at in range(rounds + 1):
        for provider in PROVIDERS:
            # The first one fills caches.
            times = rows[provider.name] if at else {key: [] for key in rows[provider.name]}
            await one_sample(provider, times)
    if samples:
        for provider in PROVIDERS:
            rows[provider.name]["eval"] = [await one_eval(provider, samples)]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=50, help="of the eval; 0: none")
    asked = parser.parse_args()
    note = asyncio.run(allow_older_engine())
    if note:
        print(f"made to go on all the same: {note}")
    rows = asyncio.run(measured(asked.rounds, asked.samples))
    own, other = (rows[provider.name] for provider in PROVIDERS)
    print(f"{'':20}{'moonpool':>12}{'docker':>12}{'ratio':>10}  at most")
    for key, times in own.items():
        mine, theirs = statistics.median(times), statistics.median(other[key])
        bound = TARGETS.get(key)
        said = "" if bound is None else f"{bound} {'met' if mine <= bound * theirs else 'MISSED'}"
        print(f"{key:20}{mine * 1e3:9.1f} ms{theirs * 1e3:9.1f} ms{mine / theirs:10.3f}  {said}")


if __name__ == "__main__":
    main()
