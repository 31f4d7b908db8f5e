"""The operator's skills as a run had them: kept beside its record, each file once, by its digest.

So a resumed run, a fork and a replay have what the first one had, whatever stands in the operator's
folder by then. The events name the files.
"""

import hashlib
import os
from pathlib import Path

from agent.config.instructions import LARGEST_SKILLS, OperatorSkills, Skill
from agent.errors import RecordError

SKILLS = "skills"
"""In a run's directory."""
_DIGEST_LETTERS = 64


def keep_skills(run: Path, skills: OperatorSkills) -> None:
    """Write them beside the record of a run, if there are some.

    Raises:
        RecordError: they can't be written.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        for digest, data in skills.contents.items():
            (run / SKILLS).mkdir(mode=0o700, exist_ok=True)
            with os.fdopen(os.open(run / SKILLS / digest, flags, 0o600), "wb") as file:
                file.write(data)
    except OSError as error:
        raise RecordError(f"the skills can't be kept in {run}: {error.strerror}") from error


def kept_skills(run: Path, skills: tuple[Skill, ...]) -> OperatorSkills:
    """Those of a recorded run; a file that is gone, or is another, is left out.

    Raises:
        RecordError: a name in the record is none of a skill: it would lead elsewhere.
    """
    for skill in skills:
        for path in (skill.name, *(it.path for it in skill.files)):
            if not path.isprintable() or {"", ".", ".."} & set(path.split("/")):
                raise RecordError(f"the record names a file of a skill that is none: {path!r:.80}")
    contents: dict[str, bytes] = {}
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    for file in {it.sha256: it for skill in skills for it in skill.files}.values():
        known = len(file.sha256) == _DIGEST_LETTERS and file.sha256.isalnum()
        if not known or file.size_bytes > LARGEST_SKILLS:
            continue
        try:
            handle = os.open(run / SKILLS / file.sha256, flags)
            with os.fdopen(handle, "rb") as stream:
                data = stream.read(file.size_bytes + 1)
        except OSError:
            continue
        if hashlib.sha256(data).hexdigest() == file.sha256:
            contents[file.sha256] = data
    return OperatorSkills(folder=str(run / SKILLS), skills=skills, contents=contents)
