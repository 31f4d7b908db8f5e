"""``moonpool run``."""

from functools import partial

from agent.cli import options
from agent.cli.arguments import Command, Given, argument, text
from agent.cli.controller import conduct, make_out, may_ask
from agent.errors import UsageError
from agent.lifecycle.open_sandbox import open_sandbox
from agent.preparation.prepare import notices_of, prepare, setup_hint

TASK = argument("TASK", "What the agent is to do.")
MODEL = text(
    "-m",
    "--model",
    metavar="MODEL",
    help="anthropic:NAME, openai:NAME, responses:NAME or script:FILE; without: config.yaml's.",
)
VERIFY = text(
    "--verify",
    metavar="CMD",
    help="Run this in a fresh container with the patch; exit 1 if it fails.",
)


def run(given: Given) -> int:
    """Do a run; gives the exit code."""
    if not given[TASK].strip():
        raise UsageError('an empty task: say what to do, as in moonpool run "fix the tests"')
    json_lines, out = given[options.EVENTS_AS_JSON], given[options.OUT]
    prepared = prepare(options.of_run(given, given[MODEL]), first=partial(make_out, out))
    with prepared.recorded() as record:
        job = prepared.job(
            record.run_id,
            task=given[TASK],
            verify=given[VERIFY],
            may_ask=may_ask(json_lines=json_lines),
        )
        chosen = given[options.POLICY] or prepared.configuration.policy
        hint = () if chosen else setup_hint(prepared.root)
        return conduct(
            job,
            open_sandbox,
            record=record,
            ready=prepared.ready,
            json_lines=json_lines,
            out=out,
            notices=[*notices_of(prepared.root, prepared.policy), *hint],
        )


COMMAND = Command(
    run,
    (
        *(TASK, options.WORKSPACE, options.POLICY, options.CEILING, MODEL, options.OUT, VERIFY),
        *(options.REVIEWER, *options.TO_MODEL, options.EVENTS_AS_JSON, *options.OF_RISK),
    ),
    """

    Example: moonpool run "fix the failing tests" -w path/to/repo --verify "pytest -q"
    """,
)
