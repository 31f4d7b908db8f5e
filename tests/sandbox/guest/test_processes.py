"""The processes that the guest ends are those of a container."""

import os

import pytest

from sandbox.guest import processes


def test_outside_a_container_no_signal_goes_to_all_processes() -> None:
    assert 1 not in (os.getpid(), os.getppid())
    with pytest.raises(RuntimeError, match="every process of this machine"):
        processes.signal_others(0)  # which would do no harm
