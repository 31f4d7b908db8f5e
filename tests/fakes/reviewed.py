"""A run with a patch, without an engine, and who decides about it."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agent.interrupts import Interrupts
from agent.lifecycle.job import Job, OnProgress
from agent.record.runs import RecordedRun, run_in
from agent.review.decide.applying import ActionWatch, Operator
from fakes.box import TmpBox
from fakes.model import ToldModel, call, say
from fakes.runs import FakeRun
from policies.policy import Policy
from sandbox.opening.reattach import ReattachState
from sandbox.patch.selection import FileDiff, file_diffs

CODE = "".join(f"line {number}\n" for number in range(1, 31)).encode()
FILES = {"code.py": CODE, "notes.txt": b"one\n"}
WORK = (
    "sed -i -e 1s/line/LINE/ -e 30s/line/LINE/ code.py; echo two >> notes.txt; "
    "mkdir -p .github/workflows; echo 'on: push' > .github/workflows/x.yml"
)
SMALL = "sed -i -e 1s/line/LINE/ -e 30s/line/LINE/ code.py; echo two >> notes.txt"


@dataclass
class Reviewed:
    """A run that is over, its workspace, and what was done for whoever decides."""

    run: RecordedRun
    workspace: Path
    home: Path
    opened: list[TmpBox] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)
    output: list[bytes] = field(default_factory=list)
    on_open: Callable[[TmpBox], None] = lambda box: None

    @property
    def operator(self) -> Operator:
        return Operator(
            name="ann",
            environ={"PATH": os.environ["PATH"]},
            bounded=lambda policy: policy,
            open_recorded=self._open,
        )

    def watch(self, interrupts: Interrupts) -> ActionWatch:
        return ActionWatch(
            interrupts=interrupts,
            on_progress=self.progress.append,
            on_output=lambda stream, data: self.output.append(data),
        )

    @property
    def data(self) -> bytes:
        return (self.run.directory / Path(self.run.summary.patch or "").name).read_bytes()

    @property
    def files(self) -> tuple[FileDiff, ...]:
        return file_diffs(self.data, self.run.summary.changes)

    def _open(self, job: Job, past: ReattachState, tree: str, say: OnProgress) -> TmpBox:
        box = TmpBox(files=FILES)
        assert box.base_tree == tree
        assert (job.run_id, job.verify) == (self.run.id, self.run.summary.verify)
        self.opened.append(box)
        self.on_open(box)
        return box


def reviewed_run(place: Path, policy: Policy, *, work: str, verify: str | None) -> Reviewed:
    """A run over `FILES` that did this work, in a place of its own."""
    workspace = place / "workspace"
    workspace.mkdir()
    for name, data in FILES.items():
        (workspace / name).write_bytes(data)
    home = place / "state"
    fake = FakeRun(home=home, policy=policy, files=FILES, verify=verify, workspace=workspace)
    result = fake.go(ToldModel(call("bash", command=work), say("Done.")))
    fake.record.write_summary(result.document.json_object())
    return Reviewed(run=run_in(fake.record.directory), workspace=workspace, home=home)
