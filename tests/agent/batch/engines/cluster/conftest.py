"""A desk in a thread."""

from collections.abc import Callable, Iterator

import pytest

from agent.conversation.shared_budget import BatchAllowance
from fakes.cluster import ThreadDesk

OpenDesk = Callable[..., ThreadDesk]


@pytest.fixture
def open_desk() -> Iterator[OpenDesk]:
    """Opens one with a budget."""
    made = []

    def opened(**allowed: float) -> ThreadDesk:
        made.append(ThreadDesk(BatchAllowance(**allowed)))  # type: ignore[arg-type]
        return made[-1]

    yield opened
    for desk in made:
        desk.close()
