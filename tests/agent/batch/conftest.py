"""A batch without an engine: its scheduler and its queue are real, attempts end as a test says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.batch.queue.store import BatchQueue
from fakes.scheduling import FakeScheduling
from policies.policy import Policy


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BatchQueue]:
    made = BatchQueue.open(tmp_path, create=True)
    yield made
    made.close()


@pytest.fixture
def batch(store: BatchQueue, policy: Policy) -> FakeScheduling:
    return FakeScheduling(store=store, policy=policy)
