"""A server of a process of its own, without an engine: what `moonpool mcp` does with a `TmpBox`.

Started as a program: ``python -P mcp_server.py ROOT HOME [KEY=VALUE …]``, with settings as JSON. It
is loud on purpose: what prints here must not get between the frames of the protocol.
"""

import json
import subprocess
import sys
import warnings
from pathlib import Path

# A program of its own finds this checkout only so; hence the imports below it.
sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from agent.lifecycle.job import Job, OnProgress  # noqa: E402
from agent.servers.mcp.serving import serve_stdio  # noqa: E402
from fakes.box import TmpBox  # noqa: E402
from fakes.mcp_client import box_of, settings_for  # noqa: E402


def loud(job: Job, on_progress: OnProgress) -> TmpBox:
    print("this is no frame")  # noqa: T201
    sys.stdout.write("nor is this")
    subprocess.run(["echo", "nor this"], check=True)
    warnings.warn("nor this", stacklevel=1)
    assert sys.stdin.read() == ""
    return box_of(job, on_progress)


if __name__ == "__main__":
    root, home, *given = sys.argv[1:]
    values = {name: json.loads(value) for name, _, value in (one.partition("=") for one in given)}
    ended_by = serve_stdio(
        settings_for(Path(root), Path(home), **{"open_box": loud, "may_apply": True, **values})
    )
    sys.exit(0 if ended_by is None else 130)
