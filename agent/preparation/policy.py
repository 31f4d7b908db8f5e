"""The policy that a command line asks for, under every ceiling that stands over it.

The one way from a name to a policy that is used: whoever loads one past this forgets the ceiling.
"""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

from agent.config import environment
from agent.errors import UsageError
from agent.preparation import workspace
from policies.file import scalars
from policies.loading import Accept, load
from policies.policy import Policy
from sandbox.workspace.source import Workspace


def permit(
    policy: str,
    ceiling: str | None,
    *,
    root: Workspace | None = None,
    roots: Collection[Path] = (),
    image: str | None = None,
    reviewer: str | None = None,
) -> Policy:
    """A policy under the operator's own ceiling and the one named on the command line: both hold.

    Args:
        root: the workspace, which may hold no file of either.
        roots: further ones, of a batch.
        image: in place of the policy's.
        reviewer: the model that gives a second opinion, in place of the policy's; a ceiling's own
            goes before it.

    Raises:
        PolicyError: one of them can't be used. A ceiling is never passed over.
        UsageError: a file of one of them lies in the workspace.
    """

    def accept(file: Path) -> None:
        within = workspace.holding(file.absolute(), roots) if roots else ()
        for place in (*within, *([] if root is None else [root])):
            workspace.refuse_policy_inside(str(file.absolute()), place)

    found = load(policy, directory=environment.policy_directory(), accept=accept)
    if image is not None:
        found = replace(found, image=image)
    if reviewer is not None:
        found = replace(found, review=replace(found.review, model=_reviewer(reviewer)))
    return bounded(found, ceiling, accept=accept)


def _reviewer(named: str) -> str:
    """The name of a model, as a file may have it: a run's record keeps the policy as one."""
    try:
        return scalars.reviewer(named)
    except ValueError as error:
        raise UsageError(f"--reviewer {named!r}: {error}") from error


def bounded(policy: Policy, ceiling: str | None = None, *, accept: Accept | None = None) -> Policy:
    """A policy that is no file any more, such as a recorded one, under the same ceilings.

    Args:
        accept: asked about each file of a ceiling before it is read.

    Raises:
        PolicyError: a ceiling can't be used.
    """
    names = _ceilings(ceiling)
    if not names:
        return policy
    from policies.operator.ceiling import load_ceiling, under

    directory = environment.policy_directory()
    ceilings = [load_ceiling(name, directory=directory, accept=accept) for name in names]
    return under(policy, ceilings)


def _ceilings(named: str | None) -> list[str]:
    """By file: the operator's own, where there is one, and the one that is named."""
    standing = environment.ceiling_file()
    own = [str(standing)] if environment.stands(standing) else []
    return own if named is None else [*own, named]
