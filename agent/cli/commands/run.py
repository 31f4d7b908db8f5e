"""``moonpool run``."""

from pathlib import Path

from agent.cli.arguments import Command, Given, argument, path, text
from agent.cli.controller import RunController, may_ask, refuse_used
from agent.cli.setup import options
from agent.cli.setup.options import (
    ACCEPT_RISK,
    CEILING,
    CONTEXT_FILES,
    EVENTS_AS_JSON,
    INSTRUCTIONS,
    KERNEL_POLICY,
    NO_SKILLS,
    POLICY,
    PRICES,
    REVIEWER,
    SKILLS,
    WORKSPACE,
)
from agent.errors import UsageError
from agent.lifecycle.open_sandbox import open_sandbox
from agent.preparation import workspace
from agent.preparation.prepare import notices_of, prepare, setup_hint
from sandbox.workspace.source import Workspace

TASK = argument("TASK", "What the agent is to do.")
MODEL = text(
    "-m",
    "--model",
    metavar="MODEL",
    help="anthropic:NAME, openai:NAME, responses:NAME or script:FILE; without: config.yaml's.",
)
OUT = path("-o", "--out", metavar="DIR", help="Copy patch, report, summary and log there.")
VERIFY = text(
    "--verify",
    metavar="CMD",
    help="Run this in a fresh container with the patch; exit 1 if it fails.",
)


def run(given: Given) -> int:
    """Do a run; gives the exit code."""
    if not given[TASK].strip():
        raise UsageError('an empty task: say what to do, as in moonpool run "fix the tests"')
    out = given[OUT]

    def make_out(root: Workspace) -> None:
        if out is not None:
            workspace.refuse_inside(out, root, "the output directory")
            _make_out(out)

    prepared = prepare(options.of_run(given, given[MODEL]), first=make_out)
    json_lines = given[EVENTS_AS_JSON]
    with prepared.recorded() as record:
        job = prepared.job(
            record.run_id,
            task=given[TASK],
            verify=given[VERIFY],
            may_ask=may_ask(json_lines=json_lines),
        )
        conduct = RunController(record=record, json_lines=json_lines, out=out, ready=prepared.ready)
        chosen = given[POLICY] or prepared.configuration.policy
        hint = () if chosen else setup_hint(prepared.root)
        return conduct(
            job, open_sandbox, notices=[*notices_of(prepared.root, prepared.policy), *hint]
        )


def _make_out(out: Path) -> None:
    """Before the run, so that a wrong name costs none."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(f"-o {out} is not a directory") from error
    except OSError as error:
        raise UsageError(f"-o {out} can't be made: {error.strerror}") from error
    refuse_used(out)


COMMAND = Command(
    run,
    (
        *(TASK, WORKSPACE, POLICY, CEILING, MODEL, OUT, VERIFY, REVIEWER, INSTRUCTIONS, SKILLS),
        *(NO_SKILLS, CONTEXT_FILES, EVENTS_AS_JSON, ACCEPT_RISK, KERNEL_POLICY, PRICES),
    ),
    """

    Example: moonpool run "fix the failing tests" -w path/to/repo --verify "pytest -q"
    """,
)
