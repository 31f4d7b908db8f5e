"""What fails every task that shares it, said once: a model's key, a policy, the batch's budget.

Owns what is shared and the words for it. Refuses to know what is done with the tasks.
"""

from collections import defaultdict
from typing import assert_never

from agent.batch.failure import SharedBy
from agent.batch.plan import PreparedChoices

_REFUSED_BY = 3
"""So many tasks' first requests say that a model refuses all, where it has answered none."""


class SharedFailures:
    """Mutable: of one process."""

    def __init__(self) -> None:
        self._why: dict[tuple[SharedBy, str], str] = {}
        self._answering: set[str] = set()
        self._refused: defaultdict[str, set[str]] = defaultdict(set)
        """By model, the tasks whose first request it refused."""

    def answered(self, chosen: PreparedChoices) -> None:
        """Take note that a model answers."""
        self._answering.add(chosen.model)

    def add(self, shared: SharedBy, task_id: str, chosen: PreparedChoices, why: str) -> str:
        """Take note; gives what a person should be told, empty where that was said already."""
        if shared is SharedBy.FIRST_REQUEST:
            self._refused[chosen.model].add(task_id)
            many = len(self._refused[chosen.model]) >= _REFUSED_BY
            if many and chosen.model not in self._answering:
                shared = SharedBy.MODEL
        match shared:
            case SharedBy.MODEL:
                what, words = chosen.model, f" of {chosen.model}"
            case SharedBy.POLICY:
                what, words = chosen.policy.name, f" under policy {chosen.policy.name}"
            case SharedBy.BATCH:
                what = words = ""
            case SharedBy.NOBODY | SharedBy.ENGINE | SharedBy.FIRST_REQUEST:
                return ""
            case _:
                assert_never(shared)
        if (shared, what) in self._why:
            return ""
        self._why[shared, what] = why
        return f"no further task{words} is begun: {why}"

    def why(self, chosen: PreparedChoices) -> str:
        """Why a task with these choices is not begun; empty where it may be."""
        shared = (
            (SharedBy.BATCH, ""),
            (SharedBy.MODEL, chosen.model),
            (SharedBy.POLICY, chosen.policy.name),
        )
        return next((self._why[one] for one in shared if one in self._why), "")
