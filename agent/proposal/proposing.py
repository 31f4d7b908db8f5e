"""From a repository to a proposed policy: each ecosystem is asked, all answers are put together."""

from pathlib import Path
from typing import NamedTuple

from agent.proposal import compiled, node, python, surroundings
from agent.proposal.policy_text import policy_text
from agent.proposal.python import NEWER
from agent.proposal.repository import RepositoryFiles
from agent.proposal.values import Proposed

_READERS = (
    python.propose, node.propose, compiled.go, compiled.rust, compiled.java, compiled.cmake,
    compiled.make,
)  # fmt: skip
_MIXED = "polyglot"


class Proposal(NamedTuple):
    text: str
    """The policy file."""
    verify: str | None
    """A command that tells whether the repository's tests pass."""


def propose(root: Path, *, images: frozenset[str]) -> Proposal:
    """A policy for a repository. Reads at most a few dozen of its files.

    Args:
        images: names of the recipes there are.
    """
    files = RepositoryFiles(root)
    parts = [part for reader in _READERS if (part := reader(files)) is not None]
    whole = _together(parts, images)
    notes = (*whole.notes, *surroundings.notes(files))
    if whole.verify is None:
        notes += ("no command for its tests is found here: give --verify one that you know",)
    else:
        notes += (f"--verify {whole.verify.value!r}: {whole.verify.reason}",)
    packages = surroundings.system_packages(files)
    zone = surroundings.time_zone(files)
    text = policy_text(
        whole._replace(notes=notes),
        name="proposed",
        packages=packages,
        zone=zone,
        problems=files.problems,
    )
    return Proposal(text, whole.verify.value if whole.verify else None)


def _together(parts: list[Proposed], images: frozenset[str]) -> Proposed:
    if not parts:
        return Proposed(
            "python", "no manifest that Moonpool knows: the image `python` has most tools"
        )
    first, notes = parts[0], list[str]()
    if first.image == NEWER:
        # No other recipe has it, so nothing else can be set up beside it.
        others = [part for part in parts[1:] if part.commands]
        parts = [part for part in parts if part not in others]
        notes += (
            f"{part.reason}, and its set-up is left out: no recipe has that beside {NEWER}; name "
            "an image of your own that has both"
            for part in others
        )
    wanted = {part.image for part in parts if part.commands} or {first.image}
    image, reason = first.image, first.reason
    if len(wanted) > 1:
        reason = "; ".join(part.reason for part in parts)
        image = _MIXED
        if "java" in wanted:
            notes.append("polyglot has no Java: for it, name an image of your own that has it all")
    if image not in images:
        missing, image = image, first.image if first.image in images else "python"
        notes.append(f"there is no image {missing} here: {image} stands for it, and may lack tools")
    for part in parts:
        notes += part.notes
    return Proposed(
        image=image,
        reason=reason,
        inputs=tuple(line for part in parts for line in part.inputs),
        commands=tuple(line for part in parts for line in part.commands),
        programs=tuple(line for part in parts for line in part.programs),
        network=tuple(line for part in parts for line in part.network),
        prepare=tuple(line for part in parts for line in part.prepare),
        verify=next((part.verify for part in parts if part.verify), None),
        notes=tuple(notes),
    )
