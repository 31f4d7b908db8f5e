"""A run with a patch of two files, or of three, that somebody decides about."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.reviewed import SMALL, Reviewed, reviewed_run
from policies.policy import Policy


@pytest.fixture
def make(tmp_path: Path, policy: Policy) -> Callable[..., Reviewed]:
    def made(work: str = SMALL, verify: str | None = "grep -c LINE code.py") -> Reviewed:
        return reviewed_run(tmp_path, policy, work=work, verify=verify)

    return made
