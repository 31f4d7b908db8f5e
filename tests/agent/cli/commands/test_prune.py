"""What dead runs left is exported before it is removed. The engine here shows one run's only:
others are at work at the same one."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.past_runs.rescue import (
    RECOVERED,
    KeptContainer,
    NothingToRescue,
    Rescue,
    Rescued,
    Rescuer,
)
from agent.record.reader import read_record
from command_line.running import DONE, SLEEP, Going, Start, bash, stands
from sandbox.engine.docker import Engine
from sandbox.engine.values import SAMPLE_RUN, ContainerInfo, ImageInfo, VolumeInfo
from sandbox.opening.stored import LeftoverKind
from sandbox.prune import Leftover, leftovers, prune


class EngineOfOneRun(Engine):
    """Lists the container of one run, past its deadline, and nothing else."""

    only = ""

    def containers(self, label: str) -> list[ContainerInfo]:
        found = [row for row in super().containers(label) if row.id == self.only]
        return [
            ContainerInfo(
                id=row.id, labels={**row.labels, "moonpool.deadline": "1"}, state=row.state
            )
            for row in found
        ]

    def volumes(self, label: str) -> list[VolumeInfo]:
        return []

    def images(self, label: str) -> list[ImageInfo]:
        return []


def rescuing(engine: Engine, home: Path, *, end_running: bool = False) -> Rescuer:
    return Rescuer(
        engine=engine,
        home=home,
        environ=os.environ,
        known_secrets=(),
        end_running=end_running,
    )


def pruned(going: Going, *, everything: bool = False, force: bool = False) -> list[Rescue]:
    """What became of each container, before it was removed."""
    engine = EngineOfOneRun.connect(os.environ)
    engine.only = going.container
    rescuer = rescuing(
        engine, Path(going.moonpool.environ["MOONPOOL_HOME"]), end_running=everything
    )
    became: list[Rescue] = []

    def first(item: Leftover) -> bool:
        became.append(rescuer(item))
        return force or not isinstance(became[-1], KeptContainer)

    prune(engine, everything=everything, first=first)
    assert force or len(leftovers(engine)) == sum(
        isinstance(item, KeptContainer) for item in became
    )
    return became


def killed(start: Start, policy: str = "", command: str = SLEEP) -> Going:
    """A run that was killed in a command which had changed a file."""
    going = start(bash(command), DONE, policy=policy)
    going.until_ran()
    going.kill()
    return going


def summary(going: Going) -> Mapping[str, object]:
    loaded = json.loads((going.directory / "run.json").read_text())
    assert isinstance(loaded, dict)
    return loaded


def test_the_work_of_a_killed_run_goes_to_its_record(start: Start, engine: Engine) -> None:
    going = killed(start)
    (became,) = pruned(going)
    assert became == Rescued(path=going.directory / "patch.diff", files=1)
    assert b"+ran" in (going.directory / "patch.diff").read_bytes()
    assert (summary(going)["outcome"], summary(going)["container_left"]) == ("cut short", None)
    assert not stands(engine, going.container)
    assert not read_record(going.directory).fault
    assert going.moonpool("apply", "last", "--check").returncode == 0


def early(going: Going) -> Rescue:
    """What prune does with a container that is not due."""
    engine = EngineOfOneRun.connect(os.environ)
    engine.only = going.container
    (item,) = leftovers(engine)
    home = Path(going.moonpool.environ["MOONPOOL_HOME"])
    return rescuing(engine, home).early(item)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["exec_workspace: true", "exec_workspace: false"])
def test_the_work_of_a_killed_run_is_exported_at_once_and_it_can_be_resumed(
    start: Start, engine: Engine, policy: str
) -> None:
    going = start(bash(SLEEP), bash("echo more > later"), DONE, policy=policy)
    going.until_ran()
    alive = going.moonpool("runs", "--json").stdout
    assert json.loads(alive)["outcome"] == "running"
    assert early(going) == NothingToRescue()
    going.kill()
    dead = json.loads(going.moonpool("runs", "--json").stdout)
    assert (dead["outcome"], dead["patch"]) == ("cut short", None)
    asked = going.moonpool("apply", "last", "--check")
    assert (asked.returncode, "--export-only" in asked.stderr) == (2, True)
    became = early(going)
    assert became == Rescued(path=going.directory / "patch.diff", files=1)
    assert stands(engine, going.container)
    assert early(going) == NothingToRescue()  # nothing has been done since
    assert going.moonpool("apply", "last", "--check").returncode == 0
    assert going.moonpool("verify", "last").returncode == 0
    assert json.loads(going.moonpool("runs", "--json").stdout)["outcome"] == "cut short"
    code, over, err = going.resume()
    assert (code, over["outcome"]) == (0, "finished"), err
    assert {row["path"] for row in over["changes"]} == {"count", "later"}
    assert going.moonpool("verify", "last").returncode == 0
    assert not stands(engine, going.container)


def test_what_the_gate_refuses_is_not_applied_while_the_container_stands(start: Start) -> None:
    going = killed(start, command=f"ln -s /etc/passwd out; {SLEEP}")
    became = early(going)
    assert isinstance(became, Rescued)
    assert [finding.id for finding in became.refused] == ["escaping-symlink"]
    assert going.moonpool("apply", "last").returncode == 5


@pytest.mark.parametrize("policy", ["exec_workspace: true", "exec_workspace: false"])
def test_a_container_that_ended_itself_is_exported_too(
    start: Start, engine: Engine, policy: str
) -> None:
    going = killed(start, policy)
    engine.kill(going.container)
    (became,) = pruned(going)
    assert isinstance(became, Rescued)
    assert b"+ran" in became.path.read_bytes()


@pytest.mark.parametrize("policy", ["exec_workspace: true", "exec_workspace: false"])
def test_a_run_without_a_record_here_leaves_its_patch_beside_the_runs(
    start: Start, engine: Engine, tmp_path: Path, policy: str
) -> None:
    going = killed(start, policy)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    directory = going.directory
    directory.rename(elsewhere / directory.name)
    (became,) = pruned(going)
    assert isinstance(became, Rescued)
    assert became.path.parent == Path(going.moonpool.environ["MOONPOOL_HOME"]) / RECOVERED
    assert became.path.name.startswith(directory.name)
    assert b"+ran" in became.path.read_bytes()
    assert not stands(engine, going.container)


def test_a_patch_without_a_record_passes_the_gate_or_is_called_refused(
    start: Start, tmp_path: Path
) -> None:
    going = killed(start, command=f"ln -s /etc/passwd out; {SLEEP}")
    going.directory.rename(tmp_path / going.directory.name)
    (became,) = pruned(going)
    assert isinstance(became, Rescued)
    assert [finding.id for finding in became.refused] == ["escaping-symlink"]
    assert became.path.name.endswith(".refused.patch")


def test_a_record_that_somebody_changed_is_not_written_to(start: Start) -> None:
    going = killed(start)
    events = going.directory / "events.jsonl"
    events.write_bytes(events.read_bytes().replace(b'"require"', b'"prefer" '))
    (became,) = pruned(going)
    assert isinstance(became, Rescued)
    assert became.path.parent.name == RECOVERED
    assert summary(going)["outcome"] == "running"


def test_what_can_not_be_exported_is_kept_unless_it_is_forced(
    start: Start, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    going = killed(start)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    (became,) = pruned(going)
    assert isinstance(became, KeptContainer)
    assert "gone from the cache" in became.reason
    assert stands(engine, going.container)
    monkeypatch.undo()
    (became,) = pruned(going)
    assert isinstance(became, Rescued), became


def test_forced_it_goes_without_its_patch(
    start: Start, engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    going = killed(start)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    (became,) = pruned(going, force=True)
    assert isinstance(became, KeptContainer)
    assert not stands(engine, going.container)


def test_a_run_that_is_at_work_is_kept_though_its_deadline_is_past(
    start: Start, engine: Engine
) -> None:
    going = start(bash(SLEEP), DONE)
    going.until("call_started")
    (became,) = pruned(going)
    assert isinstance(became, KeptContainer)
    assert f"process {going.process.pid}" in became.reason
    assert stands(engine, going.container)
    assert going.process.poll() is None


def test_a_run_that_is_at_work_is_ended_with_all_and_exports_itself(
    start: Start, engine: Engine
) -> None:
    going = start(bash(SLEEP), DONE)
    going.until_ran()
    pruned(going, everything=True)
    code, last, err = going.end()
    assert (code, last["outcome"]) == (130, "interrupted"), err
    assert b"+ran" in Path(last["patch"]).read_bytes()
    assert not stands(engine, going.container)


@pytest.mark.parametrize("hostile", ["../../../../etc/cron.d/x", "..", "a" * 300, "a\nb", "a\0b"])
def test_a_label_that_names_no_run_leads_nowhere(
    tmp_path: Path, engine: Engine, hostile: str
) -> None:
    rescuer = rescuing(engine, tmp_path)
    item = Leftover(
        kind=LeftoverKind.CONTAINER, id="0" * 64, run=hostile, state="exited", expired=True
    )
    assert isinstance(rescuer(item), KeptContainer)
    assert list(tmp_path.iterdir()) == []


def test_a_sample_of_an_evaluation_left_nothing_to_be_exported(
    tmp_path: Path, engine: Engine
) -> None:
    rescuer = rescuing(engine, tmp_path)
    run = f"{SAMPLE_RUN}123-1-a-sample"
    item = Leftover(kind=LeftoverKind.CONTAINER, id="0" * 64, run=run, state="exited", expired=True)
    assert (rescuer(item), rescuer.early(item)) == (NothingToRescue(), NothingToRescue())
    assert list(tmp_path.iterdir()) == []
