"""Options and arguments that several commands have, told in the same words."""

from typing import TYPE_CHECKING, Literal

from agent.cli.arguments import (
    Given,
    Parameter,
    argument,
    choice,
    flag,
    path,
    path_or,
    switch,
    text,
    texts,
)

if TYPE_CHECKING:
    from agent.preparation.prepare import RunOptions

RUN = argument(
    "RUN",
    "A run's id, its beginning, or `last`: the newest of the workspace you are in, or of all.",
)
WORKSPACE = path_or(
    ".",
    "-w",
    "--workspace",
    metavar="DIR",
    help="A copy of it is worked on; image:PATH is a folder of the policy's image.",
)
POLICY = text(
    "-p", "--policy", metavar="POLICY", help="A name or a file; without: config.yaml's, or default."
)
CEILING = text(
    "--ceiling",
    metavar="FILE",
    help="A policy that nothing may exceed, beside the ceiling.yaml of your configuration "
    "directory: both hold.",
)
REVIEWER = text(
    "--reviewer",
    metavar="MODEL",
    help="Ask this model, which did not make the patch, for a second opinion on it.",
)
MODEL_OF_RUN = text("-m", "--model", metavar="MODEL", help="Instead of the run's own.")
BEGAN_WITH = path(
    "-w",
    "--workspace",
    metavar="DIR",
    help="What the run began with, where its workspace was changed since.",
)
INSTRUCTIONS = path(
    "--instructions",
    metavar="FILE",
    help="Your own instructions to the model; never a file of the workspace.",
)
SKILLS = path(
    "--skills",
    metavar="DIR",
    help="Your own folders with a SKILL.md; without: skills/ in your configuration directory.",
)
NO_SKILLS = flag("--no-skills", help="Leave your skills out.")
CONTEXT_FILES = switch(
    "--context-files",
    "--no-context-files",
    help="Show the model AGENTS.md and its like, as a stranger's words (it does).",
)
"""None: as the configuration says."""
PRICES = path(
    "--prices", metavar="FILE", help="What models cost, for budget.usd; before what we know."
)
ACCEPT_RISK = texts(
    "--accept-risk",
    metavar="ID",
    help="Let this finding of the export gate pass; may be given again.",
)
BECAUSE = text("--because", metavar="TEXT", help="Why what --accept-risk names may pass; kept.")
MODEL = text("-m", "--model", metavar="MODEL", help="As for `moonpool run`.")
VERIFY = text(
    "--verify", metavar="CMD", help="At the end, run this in a fresh container with the patch."
)
KERNEL_POLICY: Parameter[Literal["require", "prefer"]] = choice(
    "--kernel-policy",
    words=("require", "prefer"),
    help="prefer: go on where the kernel can't enforce the policy.",
)
OUT = path("-o", "--out", metavar="DIR", help="Copy patch, report, summary and log there.")
EVENTS_AS_JSON = flag("--json", help="Events as JSON lines; the last is the summary.")
AS_JSON = flag("--json", help="One JSON object.")
TO_MODEL = (INSTRUCTIONS, SKILLS, NO_SKILLS, CONTEXT_FILES)
"""What the model is given beside its task."""
OF_RISK = (ACCEPT_RISK, KERNEL_POLICY, PRICES)
"""What the operator takes upon themselves."""


def of_run(given: Given, model: str | None) -> "RunOptions":
    """What a command line says of a run; it has all of these options.

    Args:
        model: as the command's own ``-m`` names it.
    """
    from agent.preparation.prepare import RunOptions

    return RunOptions(
        workspace=given[WORKSPACE],
        policy=given[POLICY],
        ceiling=given[CEILING],
        model=model,
        reviewer=given[REVIEWER],
        instructions=given[INSTRUCTIONS],
        context_files=given[CONTEXT_FILES],
        skills="none" if given[NO_SKILLS] else given[SKILLS],
        prices=given[PRICES],
        accept_risk=given[ACCEPT_RISK],
        kernel_policy=given[KERNEL_POLICY],
    )
