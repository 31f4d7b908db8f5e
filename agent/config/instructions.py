"""What the operator gives the model beside the task: instructions of their own, skills, files.

Owns the reading of the instructions, strictly: they become part of the system prompt, so nothing
that a repository can write may get there. A skill is a folder with a ``SKILL.md`` that says how one
kind of work is done; here is what a run, its record and its container have of them, and whether it
is shown files of the workspace that are written for agents. Refuses to know where these come from
(the command line, the configuration), how skills are read (`agent.config.skill_reading`) and how
they are put to the model (`agent.conversation.prompts`).
"""

import hashlib
import os
import stat
from collections.abc import Collection, Mapping
from dataclasses import field
from pathlib import Path
from typing import Final

from agent.errors import UsageError
from policies.frozen import dataclass

TARGET: Final = "/skills"
"""Where they stand in a container, as ``/skills/NAME/SKILL.md``."""
MANIFEST: Final = "SKILL.md"
LARGEST_SKILLS: Final = 2 << 20
"""Of all files together; they are kept beside each run's record."""
_SHORTEST_SECRET: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SkillFile:
    path: str
    """In the skill's folder, with ``/``."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Skill:
    name: str
    """Its folder's name: lower-case letters, digits and single hyphens."""
    description: str
    """What it is good for and when, on one line."""
    files: tuple[SkillFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSkills:
    folder: str = ""
    """As the operator named it; for messages."""
    skills: tuple[Skill, ...] = ()
    contents: Mapping[str, bytes] = field(default_factory=dict)
    """Of each file, by its sha256."""

    @property
    def whole(self) -> bool:
        """Every file is here: of a recorded run one may be gone."""
        return all(it.sha256 in self.contents for skill in self.skills for it in skill.files)

    @property
    def by_path(self) -> Mapping[str, bytes]:
        """The files that are here, by their paths below `TARGET`."""
        return {
            f"{skill.name}/{it.path}": self.contents[it.sha256]
            for skill in self.skills
            for it in skill.files
            if it.sha256 in self.contents
        }

    def refuse_secrets(self, known: tuple[str, ...]) -> None:
        """They enter the container, and no key ever does.

        Raises:
            UsageError: one of these values stands in a file.
        """
        for path, data in self.by_path.items():
            if any(len(value) >= _SHORTEST_SECRET and value.encode() in data for value in known):
                raise UsageError(
                    f"{self.folder}/{path} holds the value of a variable that is a secret by its "
                    "name, and no secret enters a container: take it out"
                )


NO_SKILLS: Final = OperatorSkills()


LARGEST_BYTES: Final = 32 * 1024
"""Some 8,000 tokens, in each request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorInstructions:
    file: str
    """As the operator named it; for reports."""
    text: str
    sha256: str
    """Of the text, before a record redacted anything in it."""

    @property
    def whole(self) -> bool:
        """Still the text that the operator gave: a secret in it is not recorded."""
        return digest(self.text) == self.sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Instructions:
    """One object for every command that starts a conversation: run, chat, fork."""

    operator: OperatorInstructions | None = None
    context_files: bool = True
    """Show the model such files as AGENTS.md, as what a stranger wrote."""
    skills: OperatorSkills = NO_SKILLS
    """Named in the prompt; their files stand in the container."""


def brief(
    file: Path | None,
    *,
    context_files: bool,
    workspace: Path,
    skills: Path | None = None,
    workspaces: Collection[Path] = (),
) -> Instructions:
    """What a command line or a configuration asks for.

    Args:
        file: of instructions; None: there are none.
        skills: their folder; None: there are none.
        workspaces: further ones, of a batch.
        workspace: absolute, with no symlink in it.

    Raises:
        UsageError: the file lies in the workspace, or can't be instructions; it says what to do.
    """
    instructions = None if file is None else read_instructions(file, workspace=workspace)
    found = NO_SKILLS
    if skills is not None:
        from agent.config.skill_reading import read_skills  # noqa: PLC0415 - few have some

        found = read_skills(skills, workspace=workspace, workspaces=workspaces)
    return Instructions(operator=instructions, context_files=context_files, skills=found)


def read_instructions(file: Path, *, workspace: Path) -> OperatorInstructions:
    """The operator's instructions. Raises UsageError as `brief` does."""
    text = _text(file, _bytes(file, workspace))
    return OperatorInstructions(file=str(file), text=text, sha256=digest(text))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _bytes(file: Path, workspace: Path) -> bytes:
    from agent.config.path_steps import opened_outside  # noqa: PLC0415 - few runs have some

    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    instead = "read them, copy them somewhere else, and name the copy"
    handle = opened_outside(file, flags, (workspace,), what="the instructions", instead=instead)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UsageError(f"the instructions {file} are not a file: name a text file")
        with os.fdopen(handle, "rb", closefd=False) as opened:
            return opened.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"the instructions {file} can't be read: {error.strerror}") from error
    finally:
        os.close(handle)


def _text(file: Path, data: bytes) -> str:
    if len(data) > LARGEST_BYTES:
        raise UsageError(
            f"the instructions {file} have more than {LARGEST_BYTES} bytes, which every request "
            "would carry: shorten them"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"the instructions {file} are not UTF-8 text") from error
    text = text.replace("\r\n", "\n")
    if any(ord(char) < 0x20 and char not in "\n\t" for char in text):
        raise UsageError(f"the instructions {file} hold control characters: name a text file")
    if not text.strip():
        raise UsageError(f"the instructions {file} are empty")
    return text.strip()
