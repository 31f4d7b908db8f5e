"""A run as a function, for programs.

from agent import run

summary = run("fix the failing tests", workspace="path/to/repo", policy="python-tests",
              model="anthropic:claude-sonnet-4-5", verify="pytest -q")
print(summary.outcome, summary.patch)
"""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

from agent.batch.thread_interrupts import ThreadInterrupts
from agent.errors import UsageError
from agent.interrupts import Interrupts
from agent.lifecycle.open_sandbox import open_sandbox
from agent.lifecycle.session import RunSetup
from agent.preparation.prepare import RunOptions, carry_out, prepare
from agent.record.events.kinds import Event
from agent.record.summary import RunSummary
from policies.decision import Approve, nobody_to_ask


def run(
    task: str,
    workspace: str | os.PathLike[str] = ".",
    policy: str | os.PathLike[str] | None = None,
    model: str | None = None,
    *,
    verify: str | None = None,
    reviewer: str | None = None,
    instructions: str | os.PathLike[str] | None = None,
    context_files: bool | None = None,
    skills: str | os.PathLike[str] | None = None,
    ceiling: str | os.PathLike[str] | None = None,
    prices: str | os.PathLike[str] | None = None,
    accept_risk: Sequence[str] = (),
    kernel_policy: Literal["require", "prefer"] = "require",
    approve: Approve | None = None,
    on_event: Callable[[Event], None] = lambda _: None,
) -> RunSummary:
    """Do what ``moonpool run`` does, and give what stands in its ``run.json``.

    The operator's configuration, ceiling and ``MOONPOOL_HOME`` count as for the command. However
    the agent ends, the run is recorded, its patch exported, and a summary given: `outcome` is
    ``finished`` where it did what it was asked, and `exit_code` what the command would exit with.
    Calls in several threads run side by side. In the main thread SIGINT, SIGTERM and SIGHUP are
    requests to end the run well while it goes on, which gives ``interrupted``.

    Args:
        task: what the agent is to do.
        workspace: a directory, which is only read; ``image:PATH``: a folder of the policy's image.
        policy: a bundled name, or a file outside of the workspace; None: the configuration's.
        model: ``anthropic:NAME`` and the like; None: the configuration's.
        skills: the folder of the operator's skills; None: the configuration's, or their usual one.
        verify: shell text, run in a fresh container with the patch.
        reviewer: a model that gives a second opinion on the patch; None: the policy's, if it names
            one.
        approve: asked, in the thread of the run, about each call that the policy says ``ask`` of;
            None: nobody is there, and such calls are denied.
        on_event: told of each event, in the thread of the run; it must not raise.

    Raises:
        UsageError: an argument can't be used; nothing was begun.
        PolicyError: the policy or a ceiling can't be used.
        ModelAuth: there is no credential for the model.
        RecordError: the run's record can't be written.
    """
    if not task.strip():
        raise UsageError("an empty task: say what to do")
    prepared = prepare(
        RunOptions(
            workspace=Path(workspace),
            policy=_text(policy),
            ceiling=_text(ceiling),
            model=model,
            reviewer=reviewer,
            instructions=None if instructions is None else Path(instructions),
            context_files=context_files,
            skills=None if skills is None else Path(skills),
            prices=None if prices is None else Path(prices),
            accept_risk=tuple(accept_risk),
            kernel_policy=kernel_policy,
        )
    )
    in_main = threading.current_thread() is threading.main_thread()
    interrupts = Interrupts() if in_main else ThreadInterrupts()
    with prepared.recorded() as record:
        setup = RunSetup(
            job=prepared.job(record.run_id, task=task, verify=verify, may_ask=approve is not None),
            model=prepared.ready.model,
            facts=prepared.ready.facts,
            reviewer=prepared.ready.reviewer,
            open_box=open_sandbox,
            record=record,
            show=lambda event, _line: on_event(event),
            approve=approve or nobody_to_ask,
            interrupts=interrupts,
        )
        with interrupts.installed() if in_main else nullcontext():
            result = carry_out(
                setup, telemetry=prepared.ready.telemetry, notices=prepared.ready.notices
            )
    return result.document


def _text(name: str | os.PathLike[str] | None) -> str | None:
    return None if name is None else os.fspath(name)
