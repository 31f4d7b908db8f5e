"""Everything that is settled before a batch's first task: policies, models, and where nothing lies.

What tasks share is prepared once. Whatever can't be fails here, before anything is spent.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from agent.batch.plan import BatchPlan, Choices, PreparedChoices, choices_of, lacking
from agent.batch.task import FolderWorkspace, Task
from agent.batch.tasks.complaints import Complaints
from agent.config import environment
from agent.config.values import Configuration
from agent.errors import ModelError, UsageError
from agent.models.pricing import UNKNOWN
from agent.preparation import model as model_setup
from agent.preparation import policy as policy_setup
from agent.preparation import workspace
from agent.preparation.prepare import RunOptions
from agent.risk.finding import accepted_risks
from policies.policy import Policy
from sandbox.workspace.source import NOWHERE


def prepared(
    tasks: Iterable[Task], options: RunOptions, *, directory: Path, in_dollars: bool
) -> BatchPlan:
    """The plan of a batch.

    Args:
        options: what the command line says of every run.
        directory: the batch's folder.
        in_dollars: the batch has a budget in dollars.

    Raises:
        UsageError, PolicyError: something can't be used; the message says for which task.
    """
    known = {task.id: task for task in tasks}
    configuration = model_setup.load(root=None)
    folders = {
        task.workspace.path
        for task in known.values()
        if isinstance(task.workspace, FolderWorkspace)
    }
    for folder in workspace.holding(directory, folders):
        workspace.refuse_inside(directory, folder, "the batch's folder")
    skills = None if options.skills == "none" else options.skills
    own = [
        *(configuration.file, options.instructions, skills, environment.skill_directory()),
        *configuration.paths().values(),
    ]
    holding = {place for file in own if file for place in workspace.holding(file, folders)}
    for folder in holding:
        model_setup.refuse_in(configuration, folder)
    return BatchPlan(
        directory=directory,
        tasks=known,
        prepared=_choices(known, options, configuration, in_dollars=in_dollars, folders=folders),
        configuration=configuration,
        instructions=model_setup.brief(
            options.instructions,
            configuration,
            context_files=options.context_files,
            # In one that holds them they are refused.
            workspace=next(iter(holding), NOWHERE),
            skills=options.skills,
            workspaces=folders,
        ),
        kernel_policy=options.kernel_policy,
        accepted_risks=accepted_risks(options.accept_risk),
    )


def _choices(
    tasks: Mapping[str, Task],
    options: RunOptions,
    configuration: Configuration,
    *,
    in_dollars: bool,
    folders: Collection[Path],
) -> Mapping[Choices, PreparedChoices]:
    found: dict[Choices, PreparedChoices] = {}
    complaints = Complaints()
    usual = model_setup.policy_name(options.policy, configuration)
    for task in tasks.values():
        choices = choices_of(task)
        if choices in found:
            _refuse_lacking(task, found[choices].policy, complaints)
            continue
        where = f"{task.origin.file}:{task.origin.line}: task {task.id}"
        policy = policy_setup.permit(
            choices.policy or usual,
            options.ceiling,
            image=choices.image,
            roots=folders,
            reviewer=options.reviewer,
        )
        try:
            ready = model_setup.ready(
                choices.model or options.model,
                policy,
                configuration,
                prices=options.prices,
                batch_usd=in_dollars,
            )
        except (UsageError, ModelError) as error:
            raise UsageError(f"{where}: model: {error}") from error
        found[choices] = PreparedChoices(
            policy=policy,
            model=ready.model.name,
            facts=ready.facts,
            reviewer_facts=UNKNOWN if ready.reviewer is None else ready.reviewer.facts,
        )
        _refuse_lacking(task, policy, complaints)
    complaints.settle()
    return found


def _refuse_lacking(task: Task, policy: Policy, complaints: Complaints) -> None:
    for message in lacking(policy, task):
        complaints.add(f"{task.origin.file}:{task.origin.line}", f"task {task.id}", message)
