"""From a row to the tasks it says: one, or one for each match of a pattern.

Owns decoding a row by its form, and putting paths, policies and models right. Refuses to know how
rows are written.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.batch.task import (
    FolderWorkspace,
    GitWorkspace,
    ImageWorkspace,
    Task,
    TaskBudget,
    TaskWorkspace,
)
from agent.batch.tasks import folders
from agent.batch.tasks.complaints import Complaints
from agent.batch.tasks.form import BUDGET_KEYS, ENTRY_KEYS, TaskEntry
from agent.batch.tasks.permits import Permits
from agent.batch.tasks.row import TaskRow
from agent.models.open_model import providers
from policies.errors import CarryingError
from policies.file.document import KeyPath, spelled
from policies.file.fields import told, unknown_key
from policies.file.scalars import is_path
from policies.frozen import dataclass
from sandbox.errors import WorkspaceError
from sandbox.workspace.source import PREFIX, folder


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownOfRow:
    """What a foreign form says of a task beside the keys of ours."""

    instance_id: str | None = None
    candidates: tuple[str, ...] = ()
    """As in `ImageWorkspace`; with some, the folder need not be named."""


class TaskMaker:
    """Makes tasks of rows. `directory`: the one that relative paths count from."""

    def __init__(self, directory: Path, permits: Permits, complaints: Complaints) -> None:
        self._directory = directory
        self._permits = permits
        self._complaints = complaints
        self._models: dict[str, str] = {}
        self._resolved = cache(folders.resolved)  # thousands of tasks work in the same folder

    def tasks(self, row: TaskRow, known: KnownOfRow = KnownOfRow()) -> Iterator[Task]:  # noqa: B008 - frozen
        """The tasks of a row; none where there is something to complain of."""
        said = decoded(row, self._complaints)
        if said is None:
            return
        for name in ("task", *(() if folders.is_pattern(said.get("workspace", "")) else ("id",))):
            if name not in said:
                self._complain(row, name, _MISSING[name])
                return
        try:
            places = self._places(said, known)
            image = self._image(said)
            model = self._model(said)
            policy = self._policy(said, [place for _, place in places])
        except _Wrong as wrong:
            self._complain(row, wrong.key, str(wrong))
            return
        for identity, place in places:
            yield Task(
                id=identity,
                prompt=said["task"],
                workspace=place,
                image=image,
                policy=policy,
                model=model,
                verify=said.get("verify"),
                attempts=said.get("attempts"),
                budget=budget_of(said.get("budget")),
                instance_id=known.instance_id,
                origin=row.origin,
            )

    def _complain(self, row: TaskRow, key: str, message: str) -> None:
        self._complaints.add(row.place((key,)), key, message)

    def _places(
        self, said: Mapping[str, Any], known: KnownOfRow
    ) -> Sequence[tuple[str, TaskWorkspace]]:
        """Where it works, with the id of each."""
        named = [key for key in ("workspace", "git", "path") if key in said]
        if len(named) > 1:
            raise _Wrong(named[1], f"`{named[0]}` says already where the task works: keep one")
        if "rev" in said and "git" not in said:
            raise _Wrong("rev", "is the revision of a repository: name that with `git`")
        place: TaskWorkspace
        match named:
            case ["git"]:
                place = self._repository(said)
            case ["path"]:
                place = ImageWorkspace(path=_folder_of_image("path", said["path"]))
            case ["workspace"] if said["workspace"].startswith(PREFIX):
                path = said["workspace"].removeprefix(PREFIX)
                place = ImageWorkspace(path=_folder_of_image("workspace", path))
            case ["workspace"]:
                return self._folders(said)
            case _ if known.candidates and "image" in said:
                place = ImageWorkspace(path=None, candidates=known.candidates)
            case _:
                raise _Wrong("workspace", _MISSING["workspace"])
        return [(said["id"], place)]

    def _folders(self, said: Mapping[str, Any]) -> Sequence[tuple[str, FolderWorkspace]]:
        text = said["workspace"]
        try:
            if not folders.is_pattern(text):
                return [(said["id"], FolderWorkspace(path=self._resolved(self._directory, text)))]
            start = f"{said['id']}-" if "id" in said else ""
            return [
                (start + name, FolderWorkspace(path=path))
                for name, path in folders.matches(self._directory, text)
            ]
        except folders.NoFolder as error:
            raise _Wrong("workspace", str(error)) from error

    def _repository(self, said: Mapping[str, Any]) -> GitWorkspace:
        from agent.batch.tasks.addresses import NoAddress, address  # noqa: PLC0415 - few have one
        from sandbox.git.clone import is_revision  # noqa: PLC0415 - likewise

        if "rev" not in said:
            raise _Wrong("rev", "is missing: a commit, a branch or a tag of the repository")
        revision = said["rev"]
        if not is_revision(revision):
            raise _Wrong("rev", f"{revision!r:.80} is no commit, branch or tag")
        try:
            return GitWorkspace(url=address(said["git"], self._directory), revision=revision)
        except NoAddress as error:
            raise _Wrong("git", str(error)) from error

    def _image(self, said: Mapping[str, Any]) -> str | None:
        image: str | None = said.get("image")
        if image is None or not is_path(image):
            return image
        path = os.path.normpath(self._directory / image)
        if not os.path.exists(path):
            raise _Wrong("image", f"there is no {path}: name a Dockerfile, or a folder with one")
        return path

    def _model(self, said: Mapping[str, Any]) -> str | None:
        spec: str | None = said.get("model")
        if spec is None:
            return None
        if spec not in self._models:
            provider, _, name = spec.partition(":")
            forms = providers()
            if provider not in {form.partition(":")[0] for form in forms} or not name.strip():
                raise _Wrong("model", f"{spec!r:.80} is no model: write {' or '.join(forms)}")
            if provider == "script":
                path = self._directory / name.strip()
                if not os.path.isfile(path):
                    raise _Wrong("model", f"there is no script {path}")
                spec = f"script:{os.path.normpath(path)}"
            self._models[said["model"]] = spec
        return self._models[said["model"]]

    def _policy(self, said: Mapping[str, Any], places: Sequence[TaskWorkspace]) -> str | None:
        policy: str | None = said.get("policy")
        if policy is None:
            return None
        workspaces = [place.path for place in places if isinstance(place, FolderWorkspace)]
        workspaces += [
            Path(place.url)
            for place in places
            if isinstance(place, GitWorkspace) and place.url.startswith("/")
        ]
        complaint, name = self._permits.named(policy, self._directory, workspaces)
        if complaint:
            raise _Wrong("policy", complaint)
        return name


class _Wrong(CarryingError):
    def __init__(self, key: str, message: str) -> None:
        self.key = key
        super().__init__(message)


_MISSING = {
    "workspace": "is missing: a folder; or instead `git` and `rev`, or `image` and `path`",
    "task": "is missing: say what the agent is to do",
    "id": "is missing: a name of letters, digits, `.`, `_` and `-`, unique in the file",
}


def decoded(row: TaskRow, complaints: Complaints) -> dict[str, Any] | None:
    """What a row says, by key; None where something of it can't be used, which is told."""
    try:
        model = TaskEntry.model_validate(row.data)
    except ValidationError as invalid:
        for detail in invalid.errors(include_url=False, include_context=True):
            path, message = told(dict(detail), row.data, _unknown)
            complaints.add(row.place(path), spelled(path), message)
        return None
    said = {name: getattr(model, name) for name in model.model_fields_set}
    broken = [name for name, value in said.items() if isinstance(value, str) and halved(value)]
    for name in broken:
        complaints.add(row.place((name,)), name, HALVED)
    return None if broken else said


def _unknown(path: KeyPath) -> str:
    return unknown_key(str(path[-1]), ENTRY_KEYS if len(path) == 1 else BUDGET_KEYS)


def budget_of(entry: Any) -> TaskBudget:
    """The value of a decoded ``budget``."""
    if entry is None:
        return TaskBudget()
    said = {name: getattr(entry, name) for name in entry.model_fields_set}
    return TaskBudget(time_s=said.pop("time", None), **said)


HALVED = "holds half of a surrogate pair, which is no text"


def halved(text: str) -> bool:
    """Whether it holds half of a surrogate pair, as JSON may, and is no text."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _folder_of_image(key: str, path: str) -> str:
    try:
        return folder(path).path
    except WorkspaceError as error:
        raise _Wrong(key, str(error)) from error
