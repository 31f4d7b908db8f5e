"""A queue in a folder of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.batch.queue.store import BatchQueue


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BatchQueue]:
    made = BatchQueue.open(tmp_path, create=True)
    yield made
    made.close()
