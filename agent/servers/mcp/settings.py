"""What the operator's command line lets the client of this server do.

Everything that a client asks for is held to it: it names no folder of the host but below a root,
and no policy but one of those that are listed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from agent.lifecycle.job import OpenBox
from policies.frozen import dataclass
from sandbox.workspace.source import Workspace

if TYPE_CHECKING:
    from agent.observe.otlp import TelemetrySettings

IDLE_S = 1800.0
ANSWER_S = 300.0
MOST = 4
RECORD_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class McpSettings:
    roots: tuple[Workspace, ...]
    """Absolute, with no symlink in them. A workspace is one of them, or lies below one."""
    policies: Mapping[str, str]
    """By the name that a client may choose, what the operator named; the first counts where a
    client chooses none."""
    ceiling: str | None
    """Beside the operator's standing one."""
    may_apply: bool
    """A client may have a patch applied to the workspace it was made from."""
    verify: str | None
    """Run with the patch in a fresh container: when a sandbox is closed, and by `verify`."""
    idle_s: float = IDLE_S
    """A sandbox that nothing is asked of for so long is exported and closed."""
    answer_s: float = ANSWER_S
    """How long a person may take for a question; then it is a no."""
    most: int = MOST
    """So many sandboxes may stand at once."""
    record_bytes: int = RECORD_BYTES
    """Arguments and answers of one sandbox's calls; a client that floods must not fill the disk."""
    home: Path
    """Where runs are recorded."""
    known_secrets: tuple[str, ...]
    telemetry: "TelemetrySettings | None" = None
    kernel_policy: Literal["require", "prefer"]
    environ: Mapping[str, str]
    open_box: OpenBox
