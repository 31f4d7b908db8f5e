"""``preds.jsonl`` and ``preds.json``: the chosen patch of each task, in the form SWE-bench grades.

A task stands in them with the patch that was proved, which is empty where nothing changed. A task
without such a patch does not: to a grader it is then incomplete, where an empty patch would say
that the agent had left everything as it was. Ignored files and build products are in no patch
(`sandbox.export.export`). Refuses to know how files are replaced.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agent.batch.attempt import AttemptResult
from agent.batch.results.choice import REFUSED, is_exported
from agent.batch.results.rows import run_of
from agent.batch.task import Task
from agent.errors import RecordError, UsageError
from agent.record.runs import index_patch_of, patch_of, run_in
from agent.untrusted_text import one_line
from sandbox.errors import PatchError

_REFUSED = "the export gate refused the patch: it is not in preds"
_NOT_UTF8 = (
    "the patch has bytes that are not UTF-8: swebench 5.0.2 can't grade it in any form, so it is "
    "not in preds"
)


class Predictions:
    """The rows, made one by one: patches may be large. Mutable until `lines` is used up."""

    def __init__(
        self, directory: Path, tasks: Sequence[Task], choices: Mapping[str, AttemptResult]
    ) -> None:
        self._directory = directory
        self._tasks = tasks
        self._choices = choices
        self._ids: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        """By task, what a person must know about its part; hostile text made visible."""

    def lines(self) -> Iterator[bytes]:
        """``preds.jsonl``, line by line."""
        for task in self._tasks:
            row = self._choices.get(task.id)
            if row is None:
                continue
            patch = self._patch(task, row)
            if patch is None:
                continue
            instance = task.instance_id or task.id
            if instance in self._ids:
                other = self._ids[instance]
                self.notes[task.id] = f"task {other} has the same instance: not in preds"
                continue
            self._ids[instance] = task.id
            value = {
                "instance_id": instance,
                "model_name_or_path": row.model,
                "model_patch": patch,
            }
            yield json.dumps(value).encode() + b"\n"

    def mapping(self, written: Path) -> Iterator[bytes]:
        """``preds.json``, from the lines as they were written."""
        opening = b"{\n"
        with written.open("rb") as lines:
            for instance, line in zip(self._ids, lines, strict=True):
                yield opening + json.dumps(instance).encode() + b": " + line.rstrip(b"\n")
                opening = b",\n"
        yield b"{}\n" if opening == b"{\n" else b"\n}\n"

    def _patch(self, task: Task, row: AttemptResult) -> str | None:
        """As a grader applies it with git; None where there is none that it could."""
        run = run_of(row, self._directory)
        if run is None or not is_exported(row):
            if row.outcome == REFUSED:
                self.notes[task.id] = _REFUSED
            return None
        try:
            recorded = run_in(run)
            try:
                data = index_patch_of(recorded)
            except PatchError as error:
                self.notes[task.id] = one_line(str(error))
                data = patch_of(recorded)
            return data.decode()
        except UnicodeDecodeError:
            self.notes[task.id] = _NOT_UTF8
        except (RecordError, UsageError, PatchError) as error:
            self.notes[task.id] = f"not in preds: {one_line(str(error))}"
        return None
