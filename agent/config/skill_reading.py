"""The operator's skills: folders of their own, each with a ``SKILL.md`` that says how one kind of
work is done, after the convention of the field (https://agentskills.io/specification, 2026-11).

    ~/.config/moonpool/skills/
        release-notes/SKILL.md     begins with --- / name: / description: / ---
        release-notes/style.txt    whatever it refers to

Names and descriptions become part of the prompt; the files stand in the container, where the agent
reads them when a task fits. Owns the reading, strictly: a skill is obeyed, so nothing that a
repository can write may get there. Refuses to know which folder it is, and how the files get into a
container. A workspace's own skills are never looked for: those are a stranger's text.
"""

import hashlib
import os
import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from agent.config.instructions import (
    LARGEST_SKILLS,
    MANIFEST,
    OperatorSkills,
    Skill,
    SkillFile,
)
from agent.config.path_steps import opened_outside, refuse_inside
from agent.errors import UsageError
from policies.errors import PolicyError, Where
from policies.file.document import parse, utf8
from sandbox.cache import regular_file

_WHAT: Final = "the skills"
_INSTEAD: Final = "keep them somewhere else, or say --no-skills"
_MOST: Final = 64
_MOST_FILES: Final = 500
_MANIFEST_BYTES: Final = 64 << 10
_DESCRIPTION: Final = 1024
_DESCRIPTIONS: Final = 16 << 10
"""Characters of all descriptions together, some 4,000 tokens of each request."""
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*\Z")
_NAME_CHARACTERS: Final = 64
_FENCE: Final = "---"
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC


def read_skills(
    folder: Path, *, workspace: Path, workspaces: Collection[Path] = ()
) -> OperatorSkills:
    """Every skill in a folder, by name.

    A link may lead to the folder, and from it to a skill; in a skill there is none. Names that
    begin with a dot are passed over.

    Args:
        workspace: absolute, with no symlink in it.
        workspaces: further ones, of a batch.

    Raises:
        UsageError: the folder or a skill can't be used, lies in the workspace or leads through it;
            with file and line where that is known.
    """
    reader = _SkillReader(folder, frozenset((workspace, *workspaces)))
    found: list[Skill] = []
    for name in reader.names():
        if len(found) == _MOST:
            raise UsageError(f"{folder} holds more than {_MOST} skills: move some of them away")
        found.append(reader.skill(name))
    if sum(len(skill.description) for skill in found) > _DESCRIPTIONS:
        raise UsageError(
            f"the descriptions of the skills in {folder} have more than {_DESCRIPTIONS} characters "
            "together, which every request would carry: shorten them"
        )
    return OperatorSkills(folder=str(folder), skills=tuple(found), contents=reader.contents)


class _SkillReader:
    """One reading of a folder, within its bounds."""

    def __init__(self, folder: Path, workspaces: frozenset[Path]) -> None:
        self.contents: dict[str, bytes] = {}
        self._folder = folder
        self._workspaces = workspaces
        self._count = self._bytes = 0

    def names(self) -> list[str]:
        handle = self._opened(self._folder)
        try:
            entries = sorted(os.listdir(handle))
        finally:
            os.close(handle)
        named = [name for name in entries if not name.startswith(".")]
        return [name for name in named if (self._folder / name).is_dir()]

    def skill(self, name: str) -> Skill:
        folder = self._folder / name
        if len(name) > _NAME_CHARACTERS or not _NAME.match(name):
            raise UsageError(
                f"{folder!s:.300}: a skill's folder has lower-case letters, digits and hyphens in "
                f"its name, at most {_NAME_CHARACTERS}"
            )
        handle = self._opened(folder)
        try:
            files = list(self._files(folder, handle))
        except OSError as error:
            what = f"{error.filename}: {error.strerror}"
            raise UsageError(f"the skill {folder} can't be read: {what}") from error
        finally:
            os.close(handle)
        manifest = next((it for it in files if it.path == MANIFEST), None)
        if manifest is None:
            raise UsageError(f"{folder} holds no {MANIFEST}, so it is no skill: move it away")
        text = self.contents[manifest.sha256]
        return Skill(
            name=name, description=_described(text, folder / MANIFEST, name), files=tuple(files)
        )

    def _opened(self, folder: Path) -> int:
        return opened_outside(folder, _DIRECTORY, self._workspaces, what=_WHAT, instead=_INSTEAD)

    def _files(self, folder: Path, handle: int) -> Iterator[SkillFile]:
        for at, directories, names, opened in os.fwalk(".", dir_fd=handle, onerror=_raise):
            place = Path(os.path.realpath(folder), at)
            refuse_inside(place, folder, self._workspaces, what=_WHAT, instead=_INSTEAD)
            directories[:] = sorted(name for name in directories if not name.startswith("."))
            for name in sorted((*names, *directories)):
                if name.startswith("."):
                    continue
                path = os.path.normpath(f"{at}/{name}")
                if not path.isprintable():
                    raise UsageError(f"{folder / path!s:.300} has a name that can't be shown")
                mode = os.stat(name, dir_fd=opened, follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    raise UsageError(f"{folder / path} is a link: put a copy of it there")
                if name in names:
                    with regular_file(name, directory=opened) as stream:
                        data = stream.read(LARGEST_SKILLS + 1)
                    yield self._kept(path, data)

    def _kept(self, path: str, data: bytes) -> SkillFile:
        self._count += 1
        self._bytes += len(data)
        if self._count > _MOST_FILES or self._bytes > LARGEST_SKILLS:
            raise UsageError(
                f"the skills in {self._folder} have more than {_MOST_FILES} files or "
                f"{LARGEST_SKILLS >> 20} MiB: each run keeps a copy, so keep large things elsewhere"
            )
        digest = hashlib.sha256(data).hexdigest()
        self.contents[digest] = data
        return SkillFile(path=path, sha256=digest, size_bytes=len(data))


def _described(data: bytes, file: Path, name: str) -> str:
    """The description that a ``SKILL.md`` begins with; the rest is for the model to read."""
    try:
        return _description(data, str(file), name)
    except PolicyError as error:
        raise UsageError(str(error)) from error


def _description(data: bytes, file: str, name: str) -> str:
    top = Where(file=file, line=1)
    if len(data) > _MANIFEST_BYTES:
        what = f"is larger than {_MANIFEST_BYTES >> 10} KiB: put what is rarely needed beside it"
        raise PolicyError(what, where=Where(file=file, line=0))
    lines = utf8(data, file=file).splitlines()
    if not lines or lines[0].rstrip() != _FENCE:
        raise PolicyError(f"begins with no {_FENCE}, and then name: and description:", where=top)
    rest = [line.rstrip() for line in lines[1:]]
    if _FENCE not in rest:
        raise PolicyError(f"the {_FENCE} that it begins with has no second one", where=top)
    # In place of the first line, so that all others have their numbers.
    document = parse("\n".join(["#", *rest[: rest.index(_FENCE)]]), file=file, called="skill")
    said: dict[str, str] = {}
    for key in ("name", "description"):
        value = document.data.get(key)
        where = document.values.get((key,), top)
        if not isinstance(value, str) or not value.strip():
            raise PolicyError("is missing, or no text", where=where, key=key)
        said[key] = " ".join(value.split())
        if len(said[key]) > _DESCRIPTION or not said[key].isprintable():
            what = f"has more than {_DESCRIPTION} characters, or one that can't be shown"
            raise PolicyError(what, where=where, key=key)
    if said["name"] != name:
        what = f"is {said['name']!r:.80}, and the folder is {name!r}: they are the same"
        raise PolicyError(what, where=document.values[("name",)], key="name")
    return said["description"]


def _raise(error: OSError) -> None:
    raise error
