"""``moonpool policy``: check, show, explain, test, schema. The others are in `policy_compare`."""

# Imports stand where they are needed, so that a command loads no SDK it does not use; and this is
# the terminal, where printing is the point.
# ruff: noqa: PLC0415, T201

import contextlib
import json
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli import exits, settings, workspace
from agent.cli.permits import permit

if TYPE_CHECKING:
    from agent.trial import Trial
    from policies.checking import ExampleResult
    from policies.policy import Policy

_SAID = {"allow": "allowed", "ask": "asked about", "deny": "denied"}
_WIDEST = 60
"""Of a command in a table."""


def check(file: str, *, ceiling: str | None) -> int:
    """Every error of a policy in its place, or what it amounts to and whether its examples hold."""
    from agent.text import visible
    from policies.ceiling import in_words
    from policies.checking import problems, run_examples, shown

    found = problems(file, directory=settings.policy_directory())
    for error in found:
        print(visible(shown(error)), file=sys.stderr)
    if found:
        return exits.USAGE
    policy = permit(file, ceiling)
    results = run_examples(policy)
    broken = [result for result in results if not result.holds]
    for result in broken:
        expected, got = _SAID[result.expected], _SAID[result.got]
        reason = f": {visible(result.reason)}" if result.reason else ""
        print(
            f"{file}: example {result.command!r} should be {expected}, and is {got}{reason}",
            file=sys.stderr,
        )
    narrowed = in_words(policy)
    if narrowed is not None:
        print(visible(narrowed), file=sys.stderr)
    if broken:
        return exits.USAGE
    print(
        f"{file}: fine: policy {policy.name}, image {policy.image}, {len(policy.tools)} tools, "
        f"{len(policy.commands)} command rules, {len(results)} examples hold"
    )
    return exits.DONE


def show(name: str, *, ceiling: str | None) -> int:
    """Print the policy as it counts: composed, narrowed by its ceilings, every key said."""
    from agent.text import one_line
    from policies.rendering import render

    policy = permit(name, ceiling)
    if policy.bounds is not None:
        for over in policy.bounds.ceilings:
            print(one_line(f"# under the ceiling {over.where}"))
        for narrowing in policy.bounds.narrowings:
            print(one_line(f"#   {narrowing.key}: {narrowing.change} ({narrowing.by})"))
    print(render(policy), end="")
    return exits.DONE


def explain(policy_name: str, words: list[str], *, ceiling: str | None) -> int:
    from agent.text import visible
    from policies.explain import explain as explained

    policy = permit(policy_name, ceiling)
    command = words[0] if len(words) == 1 else shlex.join(words)
    print(visible(str(explained(policy, command))))
    return exits.DONE


def test(
    file: str, *, ceiling: str | None, kernel: bool, directory: Path | None, as_json: bool
) -> int:
    """Try a policy's examples, on request in real containers too."""
    from policies.checking import run_examples

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
    return exits.DONE if holds else exits.USAGE


def _in_containers(
    policy: "Policy", results: "tuple[ExampleResult, ...]", directory: Path | None
) -> "list[Trial]":
    from agent.trial import trials
    from images.build import ensure
    from sandbox.engine import Engine

    def progress(text: str) -> None:
        print(text, file=sys.stderr)

    engine = Engine.connect(settings.environ())
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
    tried: "list[Trial]",
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


def _print_table(results: "tuple[ExampleResult, ...]", tried: "list[Trial]") -> None:
    from agent.text import one_line

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


def schema() -> int:
    from policies.loading import json_schema

    print(json.dumps(json_schema(), indent=2))
    return exits.DONE
