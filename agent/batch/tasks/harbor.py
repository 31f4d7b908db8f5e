"""A Harbor task folder, or a folder of them, as tasks.

Owns what its files become: the instruction, the environment's image, the tests as a verifier's
files. What a task asks for that can't be given is an error with the reason, never passed over.
"""

import os
import re
import shlex
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.batch.task import (
    ImageWorkspace,
    Task,
    TaskBudget,
    TaskLimits,
    TaskOrigin,
)
from agent.batch.tasks import harbor_form
from agent.batch.tasks.complaints import Complaints
from agent.batch.tasks.folders import plain_name
from agent.batch.tasks.harbor_form import HarborFile
from agent.batch.tasks.toml_places import error_line, line_of
from agent.errors import UsageError
from agent.untrusted_text import one_line
from agent.verification import VerifierFiles
from policies.errors import PolicyError
from policies.file import scalars
from policies.file.document import KeyPath, spelled, utf8
from policies.file.fields import told, unknown_key
from sandbox.errors import WorkspaceError
from sandbox.workspace.source import folder

CONFIG = "task.toml"
_TEXT_LIMIT = 1 << 20
_COMPOSE = ("docker-compose.yaml", "docker-compose.yml", "compose.yaml", "compose.yml")
_TESTS = "/tests"
_MIB = 1 << 20
_SHOWN = 10
_REACHES_OUT = re.compile(
    r"^[^#\n]*\b(?:curl|wget|apt(?:-get)?|uvx|pip3? install|npm (?:i|ci|install)|git clone)\s",
    re.MULTILINE,
)
"""A guess, for a note."""


def tasks(path: Path, complaints: Complaints, notes: list[str]) -> Iterator[Task]:
    """The task of a folder, or those of the folders in it, by name.

    Raises:
        UsageError: there is none.
    """
    if os.path.isfile(path / CONFIG):
        found = [path]
    else:
        inner = sorted(each for each in path.iterdir() if not each.name.startswith("."))
        found = [each for each in inner if os.path.isfile(each / CONFIG)]
        others = [
            one_line(each.name) for each in inner if os.path.isdir(each) and each not in found
        ]
        if others and found:
            notes.append(f"folders without a {CONFIG} are no tasks: {', '.join(others)}")
    if not found:
        raise UsageError(f"{path} is a folder without a {CONFIG}, and so are those in it")
    readers = [_Folder(each, complaints) for each in found]
    for reader in readers:
        yield from reader.task()
    notes += _notes(readers)


def _notes(readers: list["_Folder"]) -> Iterator[str]:
    yield (
        "Harbor tasks: only what changes in the work folder is in the patch and reaches the "
        "verification; there as elsewhere commands run as a user that is not root"
    )
    reaching = [reader.identity for reader in readers if reader.reaches_out]
    if reaching:
        shown = ", ".join(reaching[:_SHOWN]) + (", …" if len(reaching) > _SHOWN else "")
        yield (
            f"tasks whose tests seem to get something from a network, {len(reaching)}, will fail "
            f"for that where the image does not hold it: {shown}"
        )
    silent = sum(reader.silent_on_network for reader in readers)
    if silent:
        yield (
            f"tasks that say nothing of the network, which Harbor takes for public: {silent}; "
            "there is none here, in the agent's work or in the verification"
        )
    built = sum(reader.is_built for reader in readers)
    if built:
        yield (
            f"tasks that bring a Dockerfile: {built}; it is built with the network of the engine, "
            "before the agent begins"
        )


class _Folder:
    def __init__(self, path: Path, complaints: Complaints) -> None:
        self._path = path
        self._real = path.resolve()
        self._complaints = complaints
        self._name = os.path.basename(os.path.abspath(path))
        self._file = str(path / CONFIG)
        self._text = ""
        self._wrong = False
        self.silent_on_network = False
        self.is_built = False
        self.reaches_out = False

    @property
    def identity(self) -> str:
        return plain_name([self._name])

    def task(self) -> Iterator[Task]:
        """The task; none where there is something to complain of."""
        file = self._decoded()
        if file is None:
            return
        for key, reason in harbor_form.refused(file):
            self._complain(tuple(key.split(".")), reason)
        prompt = self._instruction()
        image = self._image(file)
        workspace = self._workspace(file)
        verifier = self._verifier(file)
        if self._wrong:
            return
        self.silent_on_network = harbor_form.says_nothing_of_network(file)
        environment = file.environment
        identity = self.identity
        known = file.task.name if file.task else self._name
        yield Task(
            id=identity,
            prompt=prompt,
            workspace=workspace,
            image=image,
            verify=_command(file),
            verifier=verifier,
            budget=TaskBudget(time_s=file.agent.timeout_sec),
            limits=TaskLimits(
                cpus=environment.cpus,
                memory_bytes=_bytes(environment.memory_mb or environment.memory),
                disk_bytes=_bytes(environment.storage_mb or environment.storage),
            ),
            env=environment.env,
            instance_id=known if known != identity else None,
            origin=TaskOrigin(file=self._file, line=1),
        )

    def _complain(self, path: KeyPath, message: str) -> None:
        self._wrong = True
        place = f"{self._file}:{line_of(self._text, path)}" if path else self._file
        self._complaints.add(place, spelled(path), message)

    def _missing(self, name: str, message: str) -> None:
        self._wrong = True
        self._complaints.add(str(self._path / name), "", message)

    def _decoded(self) -> HarborFile | None:
        text = self._read(CONFIG)
        if text is None:
            return None
        self._text = text
        try:
            data: dict[str, Any] = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            line = error_line(error) if isinstance(error, tomllib.TOMLDecodeError) else 0
            place = f"{self._file}:{line or text.count(chr(10)) + 1}"
            self._complaints.add(place, "", f"not TOML: {str(error).partition(' (at ')[0]}")
            return None
        try:
            return HarborFile.model_validate(data)
        except ValidationError as invalid:
            for detail in invalid.errors(include_url=False, include_context=True):
                self._complain(*told(dict(detail), data, _unknown))
            return None

    def _read(self, name: str) -> str | None:
        """A file of the folder as text; None where it is not one, which is told."""
        try:
            # Links count as what they lead to, which must lie in the folder too.
            path = (self._path / name).resolve(strict=True)
            if self._real not in path.parents or not path.is_file():
                self._missing(name, "is not a file of the task's folder")
                return None
            with path.open("rb") as stream:
                raw = stream.read(_TEXT_LIMIT + 1)
        except FileNotFoundError:
            self._missing(name, "is missing: a Harbor task has one")
            return None
        except (OSError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or "its links lead round in a circle"
            self._missing(name, f"can't be read: {reason}")
            return None
        if len(raw) > _TEXT_LIMIT:
            self._missing(name, f"is larger than {_TEXT_LIMIT >> 20} MiB")
            return None
        try:
            return utf8(raw, file=str(self._path / name))
        except PolicyError as error:
            self._wrong = True
            self._complaints.add(str(error.where), "", error.message)
            return None

    def _instruction(self) -> str:
        text = self._read("instruction.md")
        if text is not None and not text.strip():
            self._missing("instruction.md", "is empty: it says what the agent is to do")
        if os.path.lexists(self._path / "trajectory.json"):
            self._missing("trajectory.json", "a conversation begun elsewhere is not taken up here")
        return text or ""

    def _image(self, file: HarborFile) -> str | None:
        for name in _COMPOSE:
            if os.path.lexists(self._path / "environment" / name):
                self._missing(
                    f"environment/{name}",
                    "asks for several containers, and a sandbox is one: see a policy's services",
                )
                return None
        if (image := file.environment.docker_image) is not None:
            try:
                if scalars.is_path(image):
                    raise ValueError("expected an image's name, and this is a path")
                return scalars.image(image)
            except ValueError as error:
                self._complain(
                    ("environment", "docker_image"), f"{image!r:.80} can't be used: {error}"
                )
                return None
        if self._read("environment/Dockerfile") is None:
            return None
        self.is_built = True
        return str(self._real / "environment" / "Dockerfile")

    def _workspace(self, file: HarborFile) -> ImageWorkspace:
        directory = file.environment.workdir
        if directory is None:
            return ImageWorkspace(path=None)
        try:
            return ImageWorkspace(path=folder(directory).path)
        except WorkspaceError as error:
            self._complain(("environment", "workdir"), str(error))
            return ImageWorkspace(path=None)

    def _verifier(self, file: HarborFile) -> VerifierFiles | None:
        script = self._read("tests/test.sh")
        if script is None:
            return None
        self.reaches_out = bool(_REACHES_OUT.search(script))
        tests = self._path / "tests"
        for top, folders, files in os.walk(tests):
            for name in (*folders, *files):
                path = Path(top, name)
                kind = stat.S_IFMT(path.lstat().st_mode)
                if kind not in {stat.S_IFREG, stat.S_IFDIR}:
                    self._missing(
                        str(path.relative_to(self._path)),
                        "is neither a file nor a folder: tests are copied as they are",
                    )
        return VerifierFiles(
            folder=self._real / "tests",
            target=_TESTS,
            reward=True,
            time_s=file.verifier.timeout_sec,
        )


def _unknown(path: KeyPath) -> str:
    return unknown_key(str(path[-1]), harbor_form.known_keys(path[:-1]))


def _command(file: HarborFile) -> str:
    """The tests' script, with the variables that it is said to have."""
    sets = [f"export {name}={shlex.quote(value)};" for name, value in file.verifier.env.items()]
    return " ".join((*sets, f"{_TESTS}/test.sh"))


def _bytes(megabytes: int | None) -> int | None:
    return None if megabytes is None else megabytes * _MIB
