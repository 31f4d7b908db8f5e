"""What fails every task that shares it, said once: a model's key, a policy, the batch's budget.

Owns what is shared and the words for it. Refuses to know what is done with the tasks.
"""

from typing import assert_never

from agent.batch.failure import SharedBy
from agent.batch.plan import PreparedChoices


class SharedFailures:
    """Mutable: of one process."""

    def __init__(self) -> None:
        self._why: dict[tuple[SharedBy, str], str] = {}

    def add(self, shared: SharedBy, chosen: PreparedChoices, why: str) -> str:
        """Take note; gives what a person should be told, empty where that was said already."""
        match shared:
            case SharedBy.MODEL:
                what, words = chosen.model, f" of {chosen.model}"
            case SharedBy.POLICY:
                what, words = chosen.policy.name, f" under policy {chosen.policy.name}"
            case SharedBy.BATCH:
                what = words = ""
            case SharedBy.NOBODY | SharedBy.ENGINE:
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
