"""What came of one attempt at a task: a row of ``results.jsonl``.

Owns the row's keys and the kinds of failure. Refuses to know how rows are kept and written.
"""

from enum import StrEnum

from agent.record.events.recorded import RecordedModel


class ErrorKind(StrEnum):
    """Whose failure it was, which decides what is tried again and what counts."""

    ENVIRONMENT = "environment"
    """Engine, image, disk, start, build: tried again, never counted as the agent's."""
    SERVICE = "service"
    """The model's service: rate, overload, connection. Tried again."""
    SETTING = "setting"
    """Key, model, budget, a request that will never do: stops all that share it."""
    AGENT = "agent"
    """A limit, gave up, failed verification: counts, and is not tried again."""


class AttemptResult(RecordedModel):
    """A row of ``results.jsonl``."""

    task_id: str
    attempt: int
    """From 1."""
    run_id: str | None
    """None where it came to no run."""
    outcome: str
    """As in run.json, or the words for a task that was set aside or cancelled."""
    error_kind: ErrorKind | None = None
    detail: str = ""
    """One line for a person."""
    verified: bool | None = None
    """None: nothing was asked, or it could not be run."""
    reward: float | None = None
    """What a check that gives one gave, 0 to 1."""
    opinion: str | None = None
    """Of a second model: ``approve``, ``reject``, ``unsure``, or ``none`` where it gave none."""
    patch: str | None = None
    """Its path, relative to the batch's folder; None where there is none."""
    patch_sha256: str | None = None
    patch_bytes: int | None = None
    worst_finding: str | None = None
    """``note``, ``warning`` or ``danger``."""
    model: str = ""
    turns: int = 0
    input_tokens: int = 0
    """Cached ones included."""
    output_tokens: int = 0
    usd: float | None = None
    seconds: float = 0.0
    started: str = ""
    """RFC 3339, to the second; empty where it came to no run."""
    chosen: bool | None = None
    """Of several attempts the one that counts; None as long as that is not decided."""
    reason: str = ""
    """Why this attempt was chosen, or was not."""
    note: str = ""
    """What is to be known of the chosen patch: why it is not in the predictions, for one."""
