"""``moonpool run``."""

from pathlib import Path

from agent.cli.arguments import Command, Given, argument, path, text
from agent.cli.controller import RunController, may_ask, notices_of, refuse_used, setup_hint
from agent.cli.setup import environment, workspace
from agent.cli.setup import model as model_setup
from agent.cli.setup import policy as policy_setup
from agent.cli.setup.options import (
    ACCEPT_RISK,
    CEILING,
    CONTEXT_FILES,
    EVENTS_AS_JSON,
    INSTRUCTIONS,
    KERNEL_POLICY,
    POLICY,
    PRICES,
    WORKSPACE,
)
from agent.errors import UsageError
from agent.job import Job
from agent.open_sandbox import open_sandbox
from agent.record.store import RunRecord, new_run_id
from agent.risk.kinds import accepted_risks

TASK = argument("TASK", "What the agent is to do.")
MODEL = text(
    "-m",
    "--model",
    metavar="MODEL",
    help="anthropic:NAME, openai:NAME or script:FILE; without: config.yaml's.",
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
    accepted = accepted_risks(given[ACCEPT_RISK])
    root = workspace.resolve(given[WORKSPACE])
    configuration = model_setup.load(root=root)
    named = model_setup.policy_name(given[POLICY], configuration)
    policy = policy_setup.permit(named, given[CEILING], root=root)
    home = environment.home()
    workspace.refuse_inside(home, root, "MOONPOOL_HOME")
    out = given[OUT]
    if out is not None:
        workspace.refuse_inside(out, root, "the output directory")
        _make_out(out)

    instructions = model_setup.brief(
        given[INSTRUCTIONS],
        configuration,
        context_files=given[CONTEXT_FILES],
        workspace=root,
    )
    ready = model_setup.ready(given[MODEL], policy, configuration, prices=given[PRICES])
    secrets = model_setup.known_secrets(configuration)
    record = RunRecord.create(home, run_id=new_run_id(), known_secrets=secrets)
    try:
        job = Job(
            run_id=record.run_id,
            task=given[TASK],
            workspace=root,
            policy=policy,
            verify=given[VERIFY],
            instructions=instructions,
            may_ask=may_ask(json_lines=given[EVENTS_AS_JSON]),
            kernel_policy=given[KERNEL_POLICY],
            accepted_risks=accepted,
            environ=environment.environ(),
        )
        conduct = RunController(
            record=record, json_lines=given[EVENTS_AS_JSON], out=out, ready=ready
        )
        chosen = given[POLICY] or configuration.policy
        notices = [*notices_of(root, policy), *(() if chosen else setup_hint(root))]
        return conduct(job, open_sandbox, notices=notices)
    finally:
        record.close()


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
        TASK,
        WORKSPACE,
        POLICY,
        CEILING,
        MODEL,
        OUT,
        VERIFY,
        INSTRUCTIONS,
        CONTEXT_FILES,
        EVENTS_AS_JSON,
        ACCEPT_RISK,
        KERNEL_POLICY,
        PRICES,
    ),
    """

    Example: moonpool run "fix the failing tests" -w path/to/repo --verify "pytest -q"
    """,
)
