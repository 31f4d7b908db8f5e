"""What is kept beside a run's record, each file once, by its digest, which the events name.

    images/    those that the model was shown: its signed thinking is bound to them
    skills/    the operator's, as the run had them, whatever stands in their folder by now

So a resumed run sends what the first one sent, to the byte, and a fork and a replay have what it
had. A file that is gone, or is another by its digest, is none.
"""

import hashlib
import os
from pathlib import Path

from agent.config.instructions import LARGEST_SKILLS, OperatorSkills, Skill
from agent.errors import RecordError
from agent.models.interface import Image
from agent.record.events.conversation import KeptImage
from sandbox.cache import regular_file

SKILLS = "skills"
"""In a run's directory."""
_DIGEST_LETTERS = 64


def _keep(directory: Path, digest: str, data: bytes, what: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(directory / digest, flags, 0o600), "wb") as file:
            file.write(data)
    except OSError as error:
        raise RecordError(f"{what} can't be kept in {directory}: {error.strerror}") from error


def _kept(directory: Path, digest: str, limit: int) -> bytes | None:
    """The file of that digest; None: it is no longer there, or is another, or longer."""
    if len(digest) != _DIGEST_LETTERS or not digest.isalnum():
        return None
    try:
        with regular_file(directory / digest) as file:
            data = file.read(limit + 1)
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == digest else None


def keep_image(directory: Path, image: Image) -> KeptImage:
    """Write an image that was shown.

    Raises:
        RecordError: it can't be written.
    """
    kept = KeptImage.of(image)
    _keep(directory, kept.sha256, image.data, "an image that was shown")
    return kept


def recall(directory: Path, kept: KeptImage) -> Image | None:
    """An image as it was shown; None where it is no longer there, or is another."""
    from agent.models.image_header import LARGEST_BYTES  # noqa: PLC0415 - most runs recall none

    data = _kept(directory, kept.sha256, LARGEST_BYTES)
    return None if data is None else Image(media_type=kept.media_type, data=data)


def keep_skills(run: Path, skills: OperatorSkills) -> None:
    """Write them beside the record of a run, if there are some.

    Raises:
        RecordError: they can't be written.
    """
    for digest, data in skills.contents.items():
        _keep(run / SKILLS, digest, data, "a skill")


def kept_skills(run: Path, skills: tuple[Skill, ...]) -> OperatorSkills:
    """Those of a recorded run; a file that is gone, or is another, is left out.

    Raises:
        RecordError: a name in the record is none of a skill: it would lead elsewhere.
    """
    files = [it for skill in skills for it in skill.files]
    for path in (*(skill.name for skill in skills), *(it.path for it in files)):
        if not path.isprintable() or {"", ".", ".."} & set(path.split("/")):
            raise RecordError(f"the record names a file of a skill that is none: {path!r:.80}")
    contents: dict[str, bytes] = {}
    for file in files:
        if file.sha256 not in contents and file.size_bytes <= LARGEST_SKILLS:
            data = _kept(run / SKILLS, file.sha256, file.size_bytes)
            if data is not None:
                contents[file.sha256] = data
    return OperatorSkills(folder=str(run / SKILLS), skills=skills, contents=contents)
