"""What the tests of the agent share: a policy, a fake box, a conversation in it."""

from collections.abc import Iterator

import pytest

from fakes.box import TmpBox
from fakes.conversation import FakeConversation
from policies.policy import Policy


@pytest.fixture(scope="session")
def policy(default_policy: Policy) -> Policy:
    return default_policy


@pytest.fixture
def box() -> Iterator[TmpBox]:
    made = TmpBox(files={"calc.py": b"def multiply(a, b):\n    return a + b\n"})
    yield made
    if not made.closed:
        made.close()


@pytest.fixture
def conversation(box: TmpBox, policy: Policy) -> FakeConversation:
    return FakeConversation(box=box, policy=policy)
