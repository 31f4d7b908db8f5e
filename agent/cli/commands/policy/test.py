"""``moonpool policy test``: the examples of a policy, through the check and in containers."""

import contextlib
import tempfile
from pathlib import Path

from agent import exit_codes
from agent.cli.arguments import Command, Given, argument, flag, path
from agent.cli.commands.policy.kernel_examples import KernelExample, trials
from agent.cli.options import AS_JSON, CEILING
from agent.cli.saying import print_json, progress
from agent.config import environment
from agent.preparation import workspace
from agent.preparation.policy import permit
from agent.untrusted_text import one_line
from images.build import ensure
from images.setup.layer import reference
from policies.operator.check import ExampleResult, run_examples
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.workspace.source import Workspace

_WIDEST = 60
"""Of a command in the table."""


FILE = argument("FILE", "A name or a file.")
KERNEL = flag(
    "--kernel",
    help="Run each example in a real container too, those that are denied as well, and say which "
    "refusals the kernel enforces.",
)
DIRECTORY = path("-w", "--workspace", metavar="DIR", help="With --kernel: not an empty one.")


def test(given: Given) -> int:
    """Try a policy's examples, on request in real containers too."""
    policy = permit(given[FILE], given[CEILING])
    results = run_examples(policy)
    tried = _in_containers(policy, results, given[DIRECTORY]) if given[KERNEL] else []
    holds = all(trial.holds for trial in tried) and all(result.holds for result in results)
    if given[AS_JSON]:
        print_json(_document(policy, results, tried, holds=holds))
    else:
        _print_table(results, tried)
        broken = sum(not item.holds for item in (tried or results))
        state = "all hold" if holds else f"{broken} do not hold"
        print(f"{policy.name}: {len(results)} examples, {state}")
    return exit_codes.DONE if holds else exit_codes.USAGE


def _in_containers(
    policy: Policy, results: tuple[ExampleResult, ...], directory: Path | None
) -> list[KernelExample]:
    engine = Engine.connect(environment.environ())
    with contextlib.ExitStack() as stack:
        if directory is None:
            empty = tempfile.TemporaryDirectory(prefix="moonpool-test-")
            root: Workspace = Path(stack.enter_context(empty)).resolve()
        else:
            root = workspace.resolve(directory)
        image = ensure(engine, policy.image, on_progress=progress)
        if policy.setup.makes_layer:
            layer = reference(engine, image, policy, root)
            if engine.image(layer) is not None:
                image = layer
            else:
                progress(
                    f"the set-up of {policy.name} has not been made for this workspace (moonpool "
                    "setup), so what it installs is not there"
                )
        return list(
            trials(
                policy, results, workspace=root, image=image, engine=engine, on_progress=progress
            )
        )


def _document(
    policy: Policy,
    results: tuple[ExampleResult, ...],
    tried: list[KernelExample],
    *,
    holds: bool,
) -> dict[str, object]:
    rows: list[dict[str, object]] = [
        {
            "command": result.command,
            "expected": result.expected,
            "got": result.got,
            "reason": result.reason,
            "holds": result.holds,
        }
        for result in results
    ]
    for row, trial in zip(rows, tried, strict=False):
        row |= {
            "holds": trial.holds,
            "enforced": trial.enforced,
            "kernel": trial.met.value,
            "detail": trial.detail,
        }
    return {"policy": policy.name, "holds": holds, "examples": rows}


def _print_table(results: tuple[ExampleResult, ...], tried: list[KernelExample]) -> None:
    width = min(_WIDEST, max((len(one_line(r.command)) for r in results), default=0))
    for number, result in enumerate(results):
        trial = tried[number] if tried else None
        holds = trial.holds if trial is not None else result.holds
        shown = one_line(result.command, _WIDEST)
        says = one_line(result.reason, 120)
        if trial is not None:
            says = f"{trial.enforced:<24} {trial.detail}"
            if not result.holds:
                says = f"{says} {one_line(result.reason, 120)}"
        mark = "ok  " if holds else "FAIL"
        print(f"{mark} {result.expected:<5} {result.got:<5} {shown:<{width}}  {says}".rstrip())


COMMAND = Command(
    test,
    (FILE, KERNEL, DIRECTORY, AS_JSON, CEILING),
    """ Exit code 2 if one does not hold.

    A denial that rests on the check alone is shown as such and is no failure.

    Example: moonpool policy test my-policy.yaml --kernel
    """,
)
