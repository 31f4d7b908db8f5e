"""Stand-ins until the parts land that own these."""

import hashlib
import json
from pathlib import Path

from agent.batch.attempt import AttemptResult
from agent.batch.task import FolderWorkspace, Task, TaskOrigin
from agent.record.runs import RecordedRun
from agent.verification import Failed, Verified


def read_tasks(path: Path) -> tuple[Task, ...]:
    found = []
    for line, text in enumerate(path.read_text().splitlines(), 1):
        if not text.strip():
            continue
        row = json.loads(text)
        found.append(
            Task(
                id=row["id"],
                prompt=row["task"],
                workspace=FolderWorkspace(path=(path.parent / row["workspace"]).resolve()),
                model=row.get("model"),
                policy=row.get("policy"),
                verify=row.get("verify"),
                attempts=row.get("attempts"),
                origin=TaskOrigin(file=str(path), line=line),
            )
        )
    return tuple(found)


def attempt_row(task: Task, attempt: int, directory: Path, run: RecordedRun) -> AttemptResult:
    summary = run.summary
    verified = {Verified: True, Failed: False}.get(type(summary.verification))
    patch = Path(summary.patch) if summary.patch else None
    return AttemptResult(
        task_id=task.id,
        attempt=attempt,
        run_id=run.id,
        outcome=summary.outcome,
        detail=summary.detail.partition("\n")[0],
        verified=verified,
        patch=str(patch.relative_to(directory)) if patch else None,
        patch_sha256=summary.patch_sha256,
        patch_bytes=summary.patch_bytes,
        model=summary.model,
        turns=summary.turns,
        input_tokens=summary.tokens.all_input,
        output_tokens=summary.tokens.output_tokens,
        usd=summary.usd,
        seconds=summary.seconds,
    )
