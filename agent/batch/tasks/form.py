"""The keys of a task, as a person writes them, and the JSON Schema of a tasks file.

Owns which keys there are and of what kind. What a path, a policy or a model leads to is asked
elsewhere. Budgets are a policy's own, word for word.
"""

import re
from types import GenericAlias
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, WithJsonSchema, create_model

from policies.file.fields import CommandLine, Duration, ImageName, StrictModel
from policies.file.keys import KEYS

TASK_ID = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$"
_TASK_ID = re.compile(TASK_ID)
ATTEMPTS_LIMIT = 100
"""More is a slip of the hand."""


def _absent(kind: Any, about: str | None) -> tuple[Any, Any]:
    """A key that may be left out, and may not be null."""
    return kind, Field(default_factory=lambda: None, description=about)


def _task_id(text: str) -> str:
    if not _TASK_ID.match(text) or "\n" in text:
        raise ValueError("expected a plain name: letters, digits, `.`, `_` and `-`")
    return text


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError("expected some text")
    return text


TaskId = Annotated[
    str, AfterValidator(_task_id), WithJsonSchema({"type": "string", "pattern": TASK_ID})
]
Text = Annotated[str, AfterValidator(_text), WithJsonSchema({"type": "string", "pattern": r"\S"})]
_BUDGET: dict[str, Any] = {
    key.name: _absent(key.type, key.about) for key in KEYS if key.section == "budget"
}
TaskBudgetEntry: type[StrictModel] = create_model(
    "TaskBudgetEntry",
    __base__=StrictModel,
    __doc__="What one attempt may use. It narrows the policy's budget, and widens none.",
    **_BUDGET,
    time=_absent(Duration, "Time of one attempt: `30m`."),
)
_ENTRY: dict[str, Any] = {
    "id": _absent(TaskId, "Unique in the file; with a pattern as workspace, what ids begin with."),
    "workspace": _absent(
        Text, "A folder of this machine; a pattern, as `repos/*`, is a task for each; `image:PATH`."
    ),
    "git": _absent(Text, "A git repository: an address, or a folder of this machine."),
    "rev": _absent(Text, "With git: a commit, a branch or a tag."),
    "image": _absent(ImageName, "In place of the policy's: an image, a recipe, a Dockerfile."),
    "path": _absent(Text, "A folder of the image, in which the task works."),
    "task": _absent(Text, "What the agent is asked to do."),
    "policy": _absent(Text, "A bundled policy, or a file of yours that lies in no workspace."),
    "model": _absent(Text, "PROVIDER:NAME."),
    "verify": _absent(
        CommandLine, "A shell line that has to succeed on a fresh copy with the patch."
    ),
    "attempts": _absent(
        Annotated[int, Field(ge=1, le=ATTEMPTS_LIMIT)], "How many independent runs."
    ),
    "budget": _absent(TaskBudgetEntry, None),
}
TaskEntry: type[StrictModel] = create_model(
    "TaskEntry",
    __base__=StrictModel,
    __doc__="One task. Paths count from the folder of the tasks file.",
    **_ENTRY,
)
_LIST: Any = GenericAlias(tuple, (TaskEntry, ...))
_ALL: dict[str, Any] = {"defaults": _absent(TaskEntry, "For every task that does not say it."),
                        "tasks": (_LIST, ...)}  # fmt: skip
TasksFile: type[StrictModel] = create_model("TasksFile", __base__=StrictModel, **_ALL)
ENTRY_KEYS = tuple(_ENTRY)
FILE_KEYS = tuple(_ALL)
BUDGET_KEYS = (*_BUDGET, "time")


def json_schema() -> dict[str, object]:
    """JSON Schema (draft 2020-12) of a tasks file in YAML; a line of JSONL is a ``TaskEntry``."""
    generated = TypeAdapter(_LIST | TasksFile).json_schema(mode="validation")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **generated,
        "title": "Moonpool tasks",
    }
