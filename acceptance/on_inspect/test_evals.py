"""Whole evals with a mock model: in Inspect's own log, samples at once, nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from inspect_ai import Task, eval_async
from inspect_ai.dataset import Sample
from inspect_ai.event import SandboxEvent
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer
from inspect_ai.solver import Generate, Solver, TaskState, generate, solver, use_tools
from inspect_ai.tool import ToolCall, bash, bash_session, python, text_editor
from inspect_ai.util import SandboxEnvironmentType, sandbox, sandbox_service

from agent.config import environment
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_DEADLINE, LABEL_RUN

# Inspect's own are no failures of ours: how it retries, and streams that it leaves open.
INSPECTS_OWN = (
    "ignore:The 'initial' parameter:DeprecationWarning",
    "ignore:Exception ignored in.*Memory:pytest.PytestUnraisableExceptionWarning",
)
pytestmark = [pytest.mark.anyio, *map(pytest.mark.filterwarnings, INSPECTS_OWN)]
Calls = Callable[[str], list[ToolCall]]


@pytest.fixture(autouse=True)
def _no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPECT_DISPLAY", "none")


def standing(prefix: str = "inspect-") -> list[str]:
    engine = Engine.connect(environment.environ())
    runs = [row.labels.get(LABEL_RUN, "") for row in engine.containers(LABEL_DEADLINE)]
    return [run for run in runs if run.startswith(prefix)]


def call(function: str, **arguments: object) -> ToolCall:
    return ToolCall(id=f"{function}-{id(arguments)}", function=function, arguments=arguments)


def says(*turns: Calls) -> Callable[..., ModelOutput]:
    """A model that makes these calls, a turn each, for the sample that it is asked of."""

    def answer(messages: list[ChatMessage], *_: object) -> ModelOutput:
        turn = sum(message.role == "assistant" for message in messages)
        asked = next(message for message in messages if message.role == "user").text
        output = ModelOutput.from_content("mockllm/model", "done")
        if turn < len(turns):
            output.choices[0].message = ChatMessageAssistant(
                content="", tool_calls=turns[turn](asked), model="mockllm/model", source="generate"
            )
            output.choices[0].stop_reason = "tool_calls"
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output

    return answer


@scorer(metrics=[accuracy()])
def written() -> Scorer:
    """Looks in the sandbox, by a command and by a read."""

    async def score(state: TaskState, target: Target) -> Score:
        text = await sandbox().read_file("answer.txt")
        done = await sandbox().exec(["cat", "answer.txt"])
        right = text.strip() == done.stdout.strip() == target.text
        return Score(value="C" if right else "I", answer=text)

    return score


@solver
def two_at_once() -> Solver:
    """Fails where no second sample is worked on while the first one is."""
    met = anyio.Event()
    here = []

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        here.append(state.sample_id)
        if len(here) > 1:
            met.set()
        with anyio.fail_after(60):
            await met.wait()
        return state

    return solve


async def evaluated(task: Task, turns: list[Calls], tmp_path: Path, **options: object) -> EvalLog:
    (log,) = await eval_async(
        task,
        model=get_model("mockllm/model", custom_outputs=says(*turns)),
        log_dir=str(tmp_path),
        log_level="warning",
        **options,  # type: ignore[arg-type]
    )
    return log


def task(count: int, solvers: list[Solver], box: SandboxEnvironmentType = "moonpool") -> Task:
    samples = [
        Sample(input=str(at), target=str(at * at), files={"in.txt": str(at)}, setup="touch set.txt")
        for at in range(count)
    ]
    return Task(dataset=samples, solver=solvers, scorer=written(), sandbox=box)


async def test_samples_are_worked_on_at_once_each_in_its_own_sandbox(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = "n = int(open('in.txt').read()); open('answer.txt', 'w').write(str(n * n))"
    turns: list[Calls] = [
        lambda _: [call("bash", command="cat in.txt; ls; hostname")],
        lambda _: [call("python", code=code)],
    ]
    solvers = [two_at_once(), use_tools(bash(timeout=30), python(timeout=30)), generate()]
    log = await evaluated(task(6, solvers), turns, tmp_path, max_sandboxes=3, max_samples=3)
    assert (log.status, log.error) == ("success", None)
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == 1
    assert log.samples is not None
    for sample in log.samples:
        said = [message.text for message in sample.messages if message.role == "tool"]
        assert said[0].split()[:3] == [f"{sample.input}in.txt", "set.txt", "moonpool"]
        events = [event for event in sample.events if isinstance(event, SandboxEvent)]
        assert {event.action for event in events} >= {"exec", "read_file", "write_file"}
    assert standing(f"inspect-{os.getpid()}-") == []
    # Inspect asks for root at each sample's start, and has nothing to say of the answer.
    assert [record.message for record in caplog.records if "root" in record.message] == []


async def test_a_nul_byte_in_a_command_fails_as_a_call_and_the_eval_goes_on(
    tmp_path: Path,
) -> None:
    turns: list[Calls] = [
        lambda _: [call("bash", command="echo \0")],
        lambda asked: [call("bash", command=f"echo {int(asked) ** 2} > answer.txt")],
    ]
    log = await evaluated(task(1, [use_tools(bash()), generate()]), turns, tmp_path)
    assert (log.status, log.error) == ("success", None)
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == 1
    assert log.samples is not None
    said = [message.text for message in log.samples[0].messages if message.role == "tool"]
    assert "NUL" in said[0]


async def test_calls_of_one_turn_run_at_once(tmp_path: Path) -> None:
    """The first ends only when the second has run."""
    wait = "until [ -e answer.txt ]; do sleep 0.02; done; echo seen"
    turns: list[Calls] = [
        lambda asked: [
            call("bash", command=wait),
            call("bash", command=f"echo {int(asked) ** 2} > answer.txt"),
        ]
    ]
    log = await evaluated(task(2, [use_tools(bash(timeout=60)), generate()]), turns, tmp_path)
    assert log.status == "success"
    assert log.samples is not None
    for sample in log.samples:
        said = [message.text for message in sample.messages if message.role == "tool"]
        assert said == ["seen\n", ""]


async def test_inspects_own_tools_live_in_the_sandbox(tmp_path: Path) -> None:
    """They bring a server along, which goes on between calls."""
    turns: list[Calls] = [
        lambda asked: [
            call(
                "text_editor",
                command="create",
                path="/workspace/answer.txt",
                file_text=str(int(asked) ** 2),
            )
        ],
        lambda _: [call("bash_session", action="type_submit", input="X=41; cd /tmp")],
        lambda _: [call("bash_session", action="type_submit", input="echo $((X + 1)) in $PWD")],
    ]
    solvers = [use_tools(text_editor(), bash_session()), generate()]
    log = await evaluated(task(1, solvers), turns, tmp_path)
    assert (log.status, log.error) == ("success", None)
    assert log.samples is not None
    said = [message.text for message in log.samples[0].messages if message.role == "tool"]
    assert "42 in /tmp" in said[2]


@solver
def served() -> Solver:
    """A program in the sandbox that calls a function outside of it, by a service of Inspect's."""
    program = (
        "import sys; sys.path.append('/var/tmp/sandbox-services/squares')\n"
        "from squares import call_squares\n"
        "open('answer.txt', 'w').write(str(call_squares('square', n=int(open('in.txt').read()))))\n"
    )

    async def square(n: int) -> int:
        return n * n

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        done = anyio.Event()
        async with anyio.create_task_group() as group:
            started = anyio.Event()

            async def serve() -> None:
                await sandbox_service("squares", [square], done.is_set, sandbox(), started=started)

            group.start_soon(serve)
            await started.wait()
            result = await sandbox().exec(["python3", "-c", program], timeout=60)
            done.set()
        assert result.success, result.stderr
        return state

    return solve


async def test_a_program_calls_back_while_it_runs(tmp_path: Path) -> None:
    """Run one after the other, the service would wait for the command that waits for it."""
    log = await evaluated(task(2, [served()]), [], tmp_path)
    assert (log.status, log.error and log.error.message) == ("success", None)
    assert log.results is not None
    assert log.results.scores[0].metrics["accuracy"].value == 1


LONG = """
import signal
import sys
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.solver import solver
from inspect_ai.util import sandbox

@solver
def long():
    async def solve(state, generate):
        await sandbox().exec(["sh", "-c", "sleep 600 & sleep 600"])
        return state
    return solve

# A job in the background begins with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
eval(Task(dataset=[Sample(input=str(i)) for i in range(3)], solver=long(), sandbox="moonpool"),
     model="mockllm/model", log_dir=sys.argv[1], display="plain")
"""


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_an_interrupt_in_mid_eval_leaves_no_container(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", LONG, str(tmp_path)], stdout=subprocess.DEVNULL, cwd=tmp_path
    ) as running:
        mine = f"inspect-{running.pid}-"
        try:
            wait_for(lambda: len(standing(mine)) == 3)
            running.send_signal(signal.SIGINT)
            running.wait(90)
        finally:
            running.kill()
    assert standing(mine) == []


def test_what_a_killed_eval_left_is_removed_by_inspects_own_command(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", LONG, str(tmp_path)], stdout=subprocess.DEVNULL, cwd=tmp_path
    ) as running:
        mine = f"inspect-{running.pid}-"
        try:
            wait_for(lambda: len(standing(mine)) == 3)
        finally:
            running.kill()
    left = standing(mine)
    command = [str(Path(sys.executable).with_name("inspect")), "sandbox", "cleanup", "moonpool"]
    for run in left:
        subprocess.run([*command, run], check=True, stdout=subprocess.DEVNULL)
    assert standing(mine) == []
