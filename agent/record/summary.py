"""What a run came to, as one value: ``run.json``, the last line of ``--json``, and the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from agent.job import Job
from agent.models.interface import Usage
from agent.record import outcome as outcomes
from agent.record.events.encoding import plain
from agent.record.events.types import KernelRefusal
from agent.record.outcome import Outcome
from agent.record.runs import RUNNING
from agent.risk.finding import Finding, risk_by_path
from agent.verification import Verification
from sandbox.patch.values import Change, LeftOut, Patch


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveredPatch:
    """The patch, once it is made and proved."""

    patch: Patch
    path: Path
    """Where it was written."""
    sha256: str
    findings: tuple[Finding, ...]

    @property
    def refused(self) -> bool:
        return any(finding.refuses for finding in self.findings)

    def changes(self) -> list[Change]:
        """The riskiest first: by the gate's findings, then by how much changed."""
        weight = risk_by_path(self.findings)

        def risk(change: Change) -> tuple[object, ...]:
            worst = tuple(-number for number in weight.get(change.path, (0, 0, 0)))
            binary = change.added_lines is None
            lines = (change.added_lines or 0) + (change.deleted_lines or 0)
            return (*worst, -int(binary), -lines, change.path)

        return sorted(self.patch.changes, key=risk)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    job: Job
    model: str
    outcome: Outcome
    exit_code: int
    started: datetime
    seconds: float
    turns: int
    used: Usage
    usd: float | None
    """What that cost; None where the model's price is not known."""
    usd_source: str
    """Where the price comes from; empty where none is known."""
    kernel_enforced: bool | None
    """None where no container came to be."""
    seal: Mapping[str, object]
    left_behind: tuple[LeftOut, ...]
    kernel_refusals: tuple[KernelRefusal, ...]
    delivery: DeliveredPatch | None
    """None where no patch could be made."""
    verification: Verification
    container_left: str | None
    """Id of a container that still stands, because its patch could not be made."""

    def document(self) -> dict[str, object]:
        """The JSON object of ``run.json``; its keys are there in every run."""
        delivery = self.delivery
        patch = delivery.patch if delivery else None
        return {
            **opening(self.job, self.model, self.started),
            "outcome": outcomes.name(self.outcome),
            "detail": outcomes.detail(self.outcome),
            "exit_code": self.exit_code,
            "seconds": round(self.seconds, 3),
            "turns": self.turns,
            "tokens": plain(self.used),
            "usd": None if self.usd is None else round(self.usd, 6),
            "usd_source": self.usd_source or None,
            "patch": str(delivery.path) if delivery else None,
            "patch_sha256": delivery.sha256 if delivery else None,
            "patch_bytes": len(patch.data) if patch else None,
            "base_tree": patch.base_tree if patch else None,
            "tree": patch.tree if patch else None,
            "changes": plain(delivery.changes()) if delivery else [],
            "findings": plain(delivery.findings) if delivery else [],
            "left_out": plain(patch.left_out) if patch else [],
            "left_behind": plain(self.left_behind),
            "kernel_refusals": plain(self.kernel_refusals),
            "verification": plain(self.verification),
            "kernel_enforced": self.kernel_enforced,
            "seal": plain(self.seal),
            "container_left": self.container_left,
        }


def opening(job: Job, model: str, started: datetime) -> dict[str, object]:
    """The part of ``run.json`` that is known from the start; it alone stands while a run runs."""
    return {
        "run_id": job.run_id,
        "outcome": RUNNING,
        "task": job.task or "chat",
        "workspace": str(job.workspace),
        "policy": job.policy.name,
        "policy_file": job.policy.where.file,
        "model": model,
        "server_tools": list(job.policy.server_tools),
        "verify": job.verify,
        "accepted_risks": sorted(job.accepted_risks),
        "forked_from": plain(job.forked_from),
        "started": started.isoformat(timespec="seconds"),
    }
