"""The results of the tools in words: what a model reads, where its client gives it the text."""

from agent.servers.mcp.results import (
    AppliedFiles,
    ClosedSandbox,
    DiffText,
    ExportedPatch,
    OpenedSandbox,
    PatchedFile,
    PatchReport,
    ProcessOutput,
    VerificationReport,
)


def of_opened(value: OpenedSandbox) -> str:
    where = f"a copy of the folder is in {value.folder}, under the policy {value.policy}"
    lines = [
        f"sandbox {value.sandbox} is open (run {value.run}): {where}, without network.",
        f"Programs that may run: {', '.join(value.programs) or 'none'}",
    ]
    if value.asks_about:
        lines.append(f"A person is asked about: {', '.join(value.asks_about)}")
    if value.left_out:
        lines.append(f"{value.left_out} paths of the folder were not copied in, or do not work.")
    if not value.kernel_enforced:
        lines.append("The kernel does NOT enforce the policy here.")
    return "\n".join(lines)


def of_process(value: ProcessOutput) -> str:
    state = "still runs" if value.running else f"ended with exit code {value.exit_code}"
    parts = [value.stdout.rstrip("\n")] if value.stdout else []
    if value.stderr:
        parts.append(f"[stderr]\n{value.stderr.rstrip()}")
    return "\n".join([*parts, f"[process {value.process} {state}]"])


def of_diff(value: DiffText) -> str:
    if not value.patch:
        return "Nothing has changed."
    cut = "[there is more: ask for one file, or export it]\n" if value.cut else ""
    return f"{value.patch}{cut}{_findings(value.report)}"


def of_exported(value: ExportedPatch) -> str:
    return f"The patch is in {value.file}\n{_files(value.report.files)}{_findings(value.report)}"


def of_verification(value: VerificationReport) -> str:
    return f"{value.output.rstrip()}\n[{value.summary}]".lstrip()


def of_applied(value: AppliedFiles) -> str:
    if not value.files:
        return f"{value.directory} has all of it already."
    return f"Changed in {value.directory}:\n{_files(value.files)}".rstrip()


def of_closed(value: ClosedSandbox) -> str:
    checked = {None: "", True: ", verified", False: ", NOT verified"}[value.verified]
    lines = [
        f"run {value.run}: {value.outcome}{checked}. {value.detail}".rstrip(),
        f"The patch is in {value.patch}" if value.patch else "No patch could be made.",
        _files(value.files).rstrip() or "It changes nothing.",
        f"For a person: {value.next}",
    ]
    return "\n".join(filter(None, lines))


def _files(files: list[PatchedFile]) -> str:
    return "".join(f"  {file.kind:<9} {file.path}\n" for file in files)


def _findings(report: PatchReport) -> str:
    lines = [
        f"[{finding.severity}{', refuses the export' if finding.refuses else ''}: {finding.id}: "
        f"{finding.path}: {finding.reason}]\n"
        for finding in report.findings
    ]
    return "".join(lines)
