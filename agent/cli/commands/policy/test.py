"""``moonpool policy test``: the examples of a policy, through the check and in containers."""

import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.setup import environment, exit_codes, workspace
from agent.cli.setup.policy import permit

if TYPE_CHECKING:
    from agent.cli.commands.policy.kernel_examples import KernelExample
    from policies.operator.check import ExampleResult
    from policies.policy import Policy

_WIDEST = 60
"""Of a command in the table."""


def test(
    file: str, *, ceiling: str | None, kernel: bool, directory: Path | None, as_json: bool
) -> int:
    """Try a policy's examples, on request in real containers too."""
    from policies.operator.check import run_examples

    policy = permit(file, ceiling)
    results = run_examples(policy)
    tried = _in_containers(policy, results, directory) if kernel else []
    holds = all(trial.holds for trial in tried) and all(result.holds for result in results)
    if as_json:
        print(json.dumps(_document(policy, results, tried, holds=holds), indent=2))
    else:
        _print_table(results, tried)
        broken = sum(not item.holds for item in (tried or results))
        state = "all hold" if holds else f"{broken} do not hold"
        print(f"{policy.name}: {len(results)} examples, {state}")
    return exit_codes.DONE if holds else exit_codes.USAGE


def _in_containers(
    policy: "Policy", results: "tuple[ExampleResult, ...]", directory: Path | None
) -> "list[KernelExample]":
    from agent.cli.commands.policy.kernel_examples import trials
    from images.build import ensure
    from sandbox.engine.docker import Engine

    def progress(text: str) -> None:
        print(text, file=sys.stderr)

    engine = Engine.connect(environment.environ())
    with contextlib.ExitStack() as stack:
        if directory is None:
            empty = tempfile.TemporaryDirectory(prefix="moonpool-test-")
            root = Path(stack.enter_context(empty)).resolve()
        else:
            root = workspace.resolve(directory)
        image = ensure(engine, policy.image, on_progress=progress)
        return list(
            trials(
                policy, results, workspace=root, image=image, engine=engine, on_progress=progress
            )
        )


def _document(
    policy: "Policy",
    results: "tuple[ExampleResult, ...]",
    tried: "list[KernelExample]",
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


def _print_table(results: "tuple[ExampleResult, ...]", tried: "list[KernelExample]") -> None:
    from agent.untrusted_text import one_line

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
