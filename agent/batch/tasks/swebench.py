"""Rows in SWE-bench's form, of all its ages, as rows of ours.

Owns their keys. An instance's tree stands in its image, at the commit that the row names; where in
the image is looked up later. What graders alone need is checked for its form and left to them.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from agent.batch.tasks.complaints import Complaints, one_line
from agent.batch.tasks.entries import HALVED, KnownOfRow, halved
from agent.batch.tasks.folders import plain_name
from agent.batch.tasks.form import ENTRY_KEYS
from agent.batch.tasks.row import TaskRow
from policies.errors import listed
from policies.file.fields import shown_value
from policies.file.scalars import is_path
from policies.suggestion import nearest

MARK = "instance_id"
"""The key by which a row is known to be in this form."""
_IMAGES = ("image_name", "docker_image", "image")
"""Of SWE-Gym and its like, of SWE-rebench and its like, of swebench 5."""
_NEEDED = (MARK, "repo", "base_commit", "problem_statement")
_LISTS = ("FAIL_TO_PASS", "PASS_TO_PASS", "fail_to_pass", "pass_to_pass")
_OURS = ("path", "verify", "budget")
"""Keys of ours that may stand in such a row. It is somebody's data, as often as not: what widens
anything, or costs more, is not for it to say."""
_OPTIONS = {"policy": "--policy", "model": "--model", "attempts": "--attempts"}
_USED = (*_NEEDED, *_IMAGES, *_LISTS, *_OURS, "dockerhub_tag", "requirements", "interface")
_UNUSED = frozenset((
    "patch", "test_patch", "hints_text", "created_at", "version", "environment_setup_commit",
    "difficulty", "repo_language", "issue_specificity", "issue_categories", "before_repo_set_cmd",
    "selected_test_files_to_run",
))  # fmt: skip
"""Known, and for graders or statistics: hints and solutions are not for the agent."""
_REPO = re.compile(r"(?:[A-Za-z0-9._-]+/)?([A-Za-z0-9_][A-Za-z0-9._-]*)\Z")
_COMMIT = re.compile(r"[0-9a-f]{7,64}\Z")
_FORMS = (
    ("repo", _REPO, "is no repository: expected OWNER/NAME"),
    ("base_commit", _COMMIT, "is no commit's id"),
)
_SHOWN = 20
_FOLDERS = ("/testbed", "/app")


class InstanceRows:
    """Turns the rows of one file, and gathers what a person should know of them."""

    def __init__(self, complaints: Complaints) -> None:
        self._complaints = complaints
        self._strange: dict[str, None] = {}
        self._unnamed = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What was taken for what, and what is not used."""
        notes = []
        if self._unnamed:
            notes.append(
                f"{self._unnamed} rows name no image: the one that the swebench package names for "
                "each is used, and the engine has to have it"
            )
        if self._strange:
            names = listed(map(one_line, sorted(self._strange)), _SHOWN)
            notes.append(f"columns that are not used: {names}")
        return tuple(notes)

    def __call__(self, row: TaskRow) -> tuple[TaskRow, KnownOfRow] | None:
        """The same as a row of ours; None where there is something to complain of."""
        wrong = [*self._unknown(row.data), *_malformed(row.data)]
        for key, message in wrong:
            self._complaints.add(row.place((key,)), key, message)
        if wrong:
            return None
        data = row.data
        instance, folder = data[MARK], _REPO.match(data["repo"])
        assert folder is not None
        identity = plain_name([instance])
        ours: dict[str, Any] = {key: data[key] for key in _OURS if key in data}
        ours |= {"id": identity, "task": _prompt(data), "image": self._image(data)}
        candidates = tuple(dict.fromkeys((*_FOLDERS, f"/{folder[1]}")))
        return TaskRow(
            data=ours,
            origin=row.origin,
            named=row.named,
            line_of=lambda path: row.line_of((_theirs(path, data), *path[1:])),
        ), KnownOfRow(instance_id=instance if instance != identity else None, candidates=candidates)

    def _unknown(self, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Keys that do not stand in such a row; strange ones are kept in mind."""
        for key in data:
            if key not in _USED and key not in _UNUSED and key not in self._strange:
                near = nearest(key, _USED, cutoff=0.8)
                if key in _OPTIONS:
                    yield key, f"a row of SWE-bench does not say this: {_OPTIONS[key]} does"
                elif key in ENTRY_KEYS:
                    yield key, f"`{MARK}` says it: a row of SWE-bench has no key of this name"
                elif near and near[0] not in data:
                    yield key, f"unknown key; did you mean `{near[0]}`?"
                else:
                    self._strange[key] = None

    def _image(self, data: Mapping[str, Any]) -> str:
        named = [data[key] for key in _IMAGES if key in data]
        if named:
            return str(named[0])
        if "dockerhub_tag" in data:
            return f"jefzda/sweap-images:{data['dockerhub_tag']}"
        self._unnamed += 1
        return f"swebench/sweb.eval.x86_64.{data[MARK].replace('__', '_1776_')}:latest".lower()


def _malformed(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is wrong with the values of a row, by key."""
    texts = (*_NEEDED, *_IMAGES, "dockerhub_tag", "requirements", "interface")
    for key in texts:
        value = data.get(key)
        if value is None and key in _NEEDED:
            yield key, f"is missing: a row with `{MARK}` is one of SWE-bench"
        elif value is not None and (not isinstance(value, str) or not value.strip()):
            yield key, f"expected text, got {shown_value(value)}"
        elif key == MARK and value is not None and halved(value):
            yield key, HALVED
    for key in _IMAGES:
        if isinstance(data.get(key), str) and is_path(data[key]):
            yield key, "expected an image's name, and this is a path"
    for key, form, message in _FORMS:
        value = data.get(key)
        if isinstance(value, str) and value.strip() and not form.match(value):
            yield key, f"{value!r:.80} {message}"
    for key in _LISTS:
        if key in data and not _is_list(data[key]):
            yield key, "expected a list of tests, or one as JSON in text"


def _theirs(path: tuple[str | int, ...], data: Mapping[str, Any]) -> str | int:
    """The key of the row that a key of ours comes from."""
    match path:
        case ("task", *_):
            return "problem_statement"
        case ("id", *_):
            return MARK
        case ("image", *_):
            return next((key for key in _IMAGES if key in data), "dockerhub_tag")
        case _:
            return path[0]


def _prompt(data: Mapping[str, Any]) -> str:
    """What the agent is told; of SWE-bench Pro, whose tests ask for more than the issue says, the
    requirements and interfaces too, as its own scripts put them."""
    text: str = data["problem_statement"]
    if "requirements" in data:
        text += f"\n\nRequirements:\n{data['requirements']}"
    if "interface" in data:
        text += f"\n\nNew interfaces introduced:\n{data['interface']}"
    return text


def _is_list(value: Any) -> bool:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            try:
                value = ast.literal_eval(value)
            except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
                return False
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
