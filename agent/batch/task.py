"""One task of a batch, as data: what a tasks file, a row or a task folder says, read and checked.

Owns the value. Refuses to know in which form it was written (`agent.batch.tasks`) and what is done
with it.
"""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from agent.verification import VerifierFiles
from policies.frozen import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOrigin:
    """Where a task was written, for errors about it."""

    file: str
    line: int
    """From 1; 0 where the form has no lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderWorkspace:
    path: Path
    """Absolute, with no symlink in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GitWorkspace:
    """A revision of a git repository, which is cloned once to a private store."""

    url: str
    """As the operator wrote it, or the absolute path of a local repository."""
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageWorkspace:
    """A folder of the image that the task works in."""

    path: str | None
    """Absolute; None: the work folder that the image is known to have, found in it."""
    candidates: tuple[str, ...] = ()
    """Where `path` is None: folders to look for, the likeliest first, before the image's own
    working directory."""


TaskWorkspace = FolderWorkspace | GitWorkspace | ImageWorkspace


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBudget:
    """What one attempt may use. None: as the policy says. It narrows a policy, and widens none."""

    usd: float | None = None
    turns: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    time_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLimits:
    """What a task says it needs of the machine. A policy that gives less refuses it."""

    cpus: float | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    id: str
    """Unique in its batch; a plain name (letters, digits and ``._-``)."""
    prompt: str
    workspace: TaskWorkspace
    image: str | None = None
    """In place of the policy's: an image reference, a recipe's name, or a Dockerfile's path."""
    policy: str | None = None
    """A bundled name, or the absolute path of the operator's file; None: the batch's."""
    model: str | None = None
    """None: the batch's."""
    verify: str | None = None
    """Shell text, run in a fresh container with the patch."""
    verifier: VerifierFiles | None = None
    attempts: int | None = None
    """None: the batch's."""
    budget: TaskBudget = field(default_factory=TaskBudget)
    limits: TaskLimits = field(default_factory=TaskLimits)
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of every command, beside the policy's; names as a policy may set them."""
    instance_id: str | None = None
    """The id by which graders know it, where that is not `id`."""
    origin: TaskOrigin
