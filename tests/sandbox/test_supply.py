"""Whose a container of a pool is."""

import os
import subprocess
import sys

import pytest

from sandbox.engine.values import LABEL_POOL, LABEL_RUN, ContainerInfo
from sandbox.supply import is_gone, is_waiting, name_for, run_of, this_process

_SAY = "from sandbox.supply import this_process as p; print(p())"


def test_a_process_is_gone_when_it_has_ended() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", _SAY], capture_output=True, check=True)
    ended = done.stdout.decode().strip()
    assert ended.split()[:2] == this_process().split()[:2]
    assert is_gone(ended)
    assert not is_gone(this_process())


def test_another_process_of_that_number_is_another_process() -> None:
    boot, namespace, number, started = this_process().split()
    assert number == str(os.getpid())
    assert is_gone(f"{boot} {namespace} {number} {int(started) + 1}")


@pytest.mark.parametrize("name", ["", "x", "{boot} elsewhere 1 2", "elsewhere {namespace} 1 2"])
def test_what_cannot_be_told_is_not_gone(name: str) -> None:
    boot, namespace, *_ = this_process().split()
    assert not is_gone(name.format(boot=boot, namespace=namespace))


def row(name: str, **labels: str) -> ContainerInfo:
    return ContainerInfo(id="c" * 64, labels=labels, state="running", name=name)


def test_a_name_says_the_run_of_a_container_of_a_pool_and_of_no_other() -> None:
    run = "20261129-031500-ab12cd34"
    name = name_for(run, "c" * 64)
    pooled = {LABEL_POOL: this_process(), LABEL_RUN: ""}
    assert run_of(pooled, name) == run
    assert not is_waiting(row(name, **pooled))
    assert run_of(pooled, "zen_poincare") == ""
    assert is_waiting(row("zen_poincare", **pooled))
    assert run_of({LABEL_RUN: "other"}, name) == "other"
    assert run_of({}, name) == "", "anybody can give such a name"
    assert not is_waiting(row(name))
