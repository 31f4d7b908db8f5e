"""Which attempt counts: verification, then findings, then size; and the reason that is told."""

import itertools
import random
from typing import Any

import pytest

from agent.batch.results.choice import choices, chosen
from fakes.batches import a_row


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"verified": True, "worst_finding": "danger"}, {"verified": None}),
        ({"verified": None, "worst_finding": "danger"}, {"verified": False}),
        ({"verified": True, "opinion": "reject"}, {"verified": None, "opinion": "approve"}),
        ({"opinion": "approve", "worst_finding": "warning"}, {"opinion": "none"}),
        ({"opinion": "none"}, {"opinion": "unsure"}),
        ({"opinion": None}, {"opinion": "unsure"}),
        ({"opinion": "unsure"}, {"opinion": "reject"}),
        ({"verified": True, "reward": 0.5}, {"verified": True, "reward": 0.25}),
        ({"worst_finding": None, "patch_bytes": 900}, {"worst_finding": "note"}),
        ({"worst_finding": "note", "patch_bytes": 900}, {"worst_finding": "warning"}),
        ({"worst_finding": "warning", "patch_bytes": 900}, {"worst_finding": "danger"}),
        ({"worst_finding": "danger", "patch_bytes": 900}, {"worst_finding": "unheard of"}),
        ({"patch_bytes": 99}, {"patch_bytes": 100}),
        ({"patch_bytes": 100}, {"patch_bytes": 0}),
        ({"verified": True, "patch_bytes": 0}, {"patch_bytes": 100}),
        ({"verified": False}, {"patch_sha256": None, "patch": None, "patch_bytes": None}),
        ({"verified": False}, {"outcome": "export refused"}),
    ],
)
def test_better_attempt_is_chosen_whichever_came_first(
    better: dict[str, Any], worse: dict[str, Any]
) -> None:
    for first, second in ((better, worse), (worse, better)):
        rows = chosen([a_row(attempt=1, **first), a_row(attempt=2, **second)])
        best = 1 if first is better else 2
        assert [row.attempt for row in rows if row.chosen] == [best]


def test_of_equal_attempts_the_first_is_chosen() -> None:
    rows = [a_row(attempt=number) for number in (3, 1, 2)]
    assert [row.chosen for row in chosen(rows)] == [False, True, False]


def test_reasons_name_what_decided_on_both_sides() -> None:
    best, worst = chosen([a_row(attempt=1, verified=True), a_row(attempt=2, verified=False)])
    assert best.reason == "verified; attempt 2, the next best: its verification failed"
    assert worst.reason == "its verification failed; attempt 1, which is chosen: verified"
    one, two = chosen([a_row(attempt=1), a_row(attempt=2)])
    assert one.reason == "as good as attempt 2, and the first"
    assert two.reason == "as good as attempt 1, which is chosen as the first"
    assert chosen([a_row()])[0].reason == "the only attempt"


def test_every_row_is_kept_in_its_place_and_each_task_has_one_choice() -> None:
    values: list[dict[str, Any]] = [
        {"verified": verified, "worst_finding": finding, "patch_bytes": size}
        for verified, finding, size in itertools.product(
            (True, None, False), (None, "note", "danger"), (0, 10)
        )
    ]
    rows = [
        a_row(task, number, **value)
        for task in ("a", "b")
        for number, value in enumerate(values, 1)
    ]
    random.Random(7).shuffle(rows)
    decided = chosen(rows)
    assert [(row.task_id, row.attempt) for row in decided] == [
        (row.task_id, row.attempt) for row in rows
    ]
    assert {task: row.attempt for task, row in choices(decided).items()} == {"a": 2, "b": 2}
    assert chosen(decided) == decided, "it is the same a second time"


def test_attempt_that_still_runs_is_not_yet_judged() -> None:
    running, over = chosen([a_row(attempt=1, outcome="running"), a_row(attempt=2, verified=False)])
    assert (running.chosen, running.reason) == (None, "")
    assert over.chosen is True
