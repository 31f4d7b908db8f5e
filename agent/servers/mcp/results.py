"""What the tools give a client, as values with a schema and in words; and our own in that form.

Everything that comes out of the container is hostile text. It is bounded here where it is not
already, and paths are made visible. A client may give its model the value by its schema, or the
same in words.
"""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from agent.lifecycle.patch_so_far import Preview
from agent.lifecycle.session import RunSession
from agent.record.summary import RunSummary
from agent.risk.finding import Finding
from agent.untrusted_text import decode, one_line, path_text
from agent.verification import Failed, NotAsked, Verification, Verified, in_words
from policies.paths import WORKSPACE
from sandbox.patch.values import Change
from sandbox.results import BackgroundStatus

_ROWS = 200
_NAMES = {"bash": ("run", "background_start"), "update_plan": ()}
"""What the agent's own tools are here, where they have other names."""
_WIDTH = 400


class ClientResult(BaseModel):
    @abstractmethod
    def in_words(self) -> str:
        """For a model."""


class OpenedSandbox(ClientResult):
    sandbox: Annotated[str, Field(description="The handle that every other tool takes.")]
    run: Annotated[str, Field(description="Id of its run, for `moonpool review|show|apply`.")]
    folder: Annotated[str, Field(description="The workspace in the sandbox.")]
    policy: str
    tools: Annotated[list[str], Field(description="Those of this server that the policy allows.")]
    programs: Annotated[list[str], Field(description="Programs that may run, beside builtins.")]
    asks_about: Annotated[list[str], Field(description="Programs a person is asked about.")]
    command_timeout_s: float
    left_out: Annotated[int, Field(description="Files of the workspace that were not copied in.")]
    kernel_enforced: bool

    def in_words(self) -> str:
        where = f"a copy of the folder is in {self.folder}, under the policy {self.policy}"
        lines = [
            f"sandbox {self.sandbox} is open (run {self.run}): {where}, without network.",
            f"Programs that may run: {', '.join(self.programs) or 'none'}",
        ]
        if self.asks_about:
            lines.append(f"A person is asked about: {', '.join(self.asks_about)}")
        if self.left_out:
            lines.append(f"{self.left_out} paths of the folder were not copied in, or do not work.")
        if not self.kernel_enforced:
            lines.append("The kernel does NOT enforce the policy here.")
        return "\n".join(lines)


class ToolOutput(ClientResult):
    output: str

    def in_words(self) -> str:
        return self.output


class CommandOutput(ToolOutput):
    output: Annotated[str, Field(description="Both streams, and how it ended.")]
    exit_code: int | None
    ending: Annotated[str, Field(description="`exited`, or what ended it instead.")]
    refused: Annotated[list[str], Field(description="Programs that the kernel refused.")]


class StartedProcess(ToolOutput):
    process: Annotated[int, Field(description="For background_read and background_stop.")]


class ProcessOutput(ClientResult):
    process: int
    running: bool
    exit_code: int | None
    stdout: Annotated[str, Field(description="All so far; where it is long, cut in the middle.")]
    stderr: str

    def in_words(self) -> str:
        state = "still runs" if self.running else f"ended with exit code {self.exit_code}"
        parts = [self.stdout.rstrip("\n")] if self.stdout else []
        if self.stderr:
            parts.append(f"[stderr]\n{self.stderr.rstrip()}")
        return "\n".join([*parts, f"[process {self.process} {state}]"])


class PatchedFile(BaseModel):
    path: str
    kind: Literal["added", "modified", "deleted", "renamed"]
    added_lines: Annotated[int | None, Field(description="None for a binary file.")]
    deleted_lines: int | None


class PatchFinding(BaseModel):
    id: str
    severity: Literal["note", "warning", "danger"]
    path: str
    reason: str
    refuses: Annotated[bool, Field(description="The patch is not let out because of it.")]


class PatchReport(BaseModel):
    files: list[PatchedFile]
    findings: list[PatchFinding]
    refused: Annotated[bool, Field(description="The export gate refuses the patch.")]
    bytes: int
    more: Annotated[int, Field(description="Files and findings that are not listed.")]


class DiffText(ClientResult):
    patch: Annotated[str, Field(description="As `git diff` prints it.")]
    cut: Annotated[bool, Field(description="There is more: see `export`, or ask for one file.")]
    report: PatchReport

    def in_words(self) -> str:
        if not self.patch:
            return "Nothing has changed."
        cut = "[there is more: ask for one file, or export it]\n" if self.cut else ""
        return f"{self.patch}{cut}{_findings_in_words(self.report)}"


class ExportedPatch(ClientResult):
    file: Annotated[str, Field(description="On the machine that this server runs on.")]
    report: PatchReport

    def in_words(self) -> str:
        changed = f"{_files_in_words(self.report.files)}{_findings_in_words(self.report)}"
        return f"The patch is in {self.file}\n{changed}"


class VerificationReport(ClientResult):
    verified: bool
    summary: str
    output: str

    def in_words(self) -> str:
        return f"{self.output.rstrip()}\n[{self.summary}]".lstrip()


class AppliedFiles(ClientResult):
    directory: str
    files: list[PatchedFile]
    more: int

    def in_words(self) -> str:
        if not self.files:
            return f"{self.directory} has all of it already."
        return f"Changed in {self.directory}:\n{_files_in_words(self.files)}".rstrip()


class ClosedSandbox(ClientResult):
    run: str
    outcome: str
    detail: str
    patch: Annotated[str | None, Field(description="The patch's file; none could be made: null.")]
    verified: Annotated[bool | None, Field(description="By the operator's command, if any.")]
    files: list[PatchedFile]
    findings: list[PatchFinding]
    more: int
    next: Annotated[str, Field(description="What a person does with it.")]

    def in_words(self) -> str:
        checked = {None: "", True: ", verified", False: ", NOT verified"}[self.verified]
        lines = [
            f"run {self.run}: {self.outcome}{checked}. {self.detail}".rstrip(),
            f"The patch is in {self.patch}" if self.patch else "No patch could be made.",
            _files_in_words(self.files).rstrip() or "It changes nothing.",
            f"For a person: {self.next}",
        ]
        return "\n".join(filter(None, lines))


def _files_in_words(files: list[PatchedFile]) -> str:
    return "".join(f"  {file.kind:<9} {file.path}\n" for file in files)


def _findings_in_words(report: PatchReport) -> str:
    return "".join(
        f"[{finding.severity}{', refuses the export' if finding.refuses else ''}: {finding.id}: "
        f"{finding.path}: {finding.reason}]\n"
        for finding in report.findings
    )


def opened(handle: str, session: RunSession) -> OpenedSandbox:
    job, box = session.job, session.box
    rules = job.policy.commands
    asks = {rule.program for rule in rules if rule.ask and job.may_ask}
    return OpenedSandbox(
        sandbox=handle,
        run=job.run_id,
        folder=WORKSPACE,
        policy=job.policy.name,
        tools=[name for tool in job.policy.tools for name in _NAMES.get(tool, (tool,))],
        programs=sorted({rule.program for rule in rules})[:_ROWS],
        asks_about=sorted(asks)[:_ROWS],
        command_timeout_s=job.policy.limits.command_timeout_s,
        left_out=len(box.left_behind),
        kernel_enforced=box.seal.kernel_enforced,
    )


def process_output(status: BackgroundStatus) -> ProcessOutput:
    return ProcessOutput(
        process=status.id,
        running=status.exit_code is None,
        exit_code=status.exit_code,
        stdout=decode(status.out.data),
        # The first line is the process id, which the tool that starts it prints there.
        stderr=decode(status.err.data).partition("\n")[2],
    )


def report(taken: Preview) -> PatchReport:
    changes, findings = taken.patch.changes, taken.findings
    return PatchReport(
        files=_files(changes),
        findings=_findings(findings),
        refused=taken.refused,
        bytes=len(taken.patch.data),
        more=max(0, len(changes) - _ROWS) + max(0, len(findings) - _ROWS),
    )


def diff_text(taken: Preview, data: bytes, most_bytes: int) -> DiffText:
    """Args:
    data: the patch, or what of it was asked for.
    """
    shown = data if len(data) <= most_bytes else data[:most_bytes].rpartition(b"\n")[0] + b"\n"
    return DiffText(patch=decode(shown), cut=len(shown) < len(data), report=report(taken))


def verification(result: Verification) -> VerificationReport:
    output = result.output if isinstance(result, Verified | Failed) else ""
    return VerificationReport(
        verified=isinstance(result, Verified),
        summary=one_line(in_words(result), _WIDTH),
        output=output,
    )


def applied(directory: str, changes: tuple[Change, ...]) -> AppliedFiles:
    return AppliedFiles(
        directory=directory, files=_files(changes), more=max(0, len(changes) - _ROWS)
    )


def closed(summary: RunSummary) -> ClosedSandbox:
    checked = summary.verification
    return ClosedSandbox(
        run=summary.run_id,
        outcome=summary.outcome,
        detail=summary.detail[: _WIDTH * 10],
        patch=summary.patch,
        verified=None if isinstance(checked, NotAsked) else isinstance(checked, Verified),
        files=_files(summary.changes),
        findings=_findings(summary.findings),
        more=max(0, len(summary.changes) - _ROWS) + max(0, len(summary.findings) - _ROWS),
        next=f"moonpool review {summary.run_id}; moonpool apply {summary.run_id}",
    )


def _files(changes: tuple[Change, ...]) -> list[PatchedFile]:
    return [
        PatchedFile(
            path=path_text(change.path),
            kind=change.kind.value,
            added_lines=change.added_lines,
            deleted_lines=change.deleted_lines,
        )
        for change in changes[:_ROWS]
    ]


def _findings(findings: Iterable[Finding]) -> list[PatchFinding]:
    return [
        PatchFinding(
            id=finding.id,
            severity=_SEVERITIES[finding.severity],
            path=path_text(finding.path),
            reason=one_line(finding.reason, _WIDTH),
            refuses=finding.refuses,
        )
        for finding in list(findings)[:_ROWS]
    ]


_SEVERITIES: dict[int, Literal["note", "warning", "danger"]] = {
    1: "note",
    2: "warning",
    3: "danger",
}
