"""The operator's skills as values: what the prompt says of them, and their files by digest.

A skill is a folder with a ``SKILL.md`` that says how one kind of work is done. Owns what a run, its
record and its container have of them. Refuses to know how they are read (`agent.config
.skill_reading`).
"""

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from agent.errors import UsageError
from policies.frozen import dataclass

TARGET: Final = "/skills"
"""Where they stand in a container, as ``/skills/NAME/SKILL.md``."""
MANIFEST: Final = "SKILL.md"
LARGEST_BYTES: Final = 2 << 20
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
