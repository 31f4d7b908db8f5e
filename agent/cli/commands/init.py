"""``moonpool init``."""

import os
import shlex
import sys
from pathlib import Path

from agent import exit_codes
from agent.cli.arguments import Command, Given, flag, path, path_or
from agent.errors import UsageError
from agent.preparation import workspace
from agent.proposal.proposing import propose
from agent.untrusted_text import visible
from images.recipes import names

WORKSPACE = path_or(
    ".", "-w", "--workspace", metavar="DIR", help="The repository; it is only read."
)
OUT = path(
    "-o", "--out", metavar="FILE", help="Write the policy there; without, or with -: print it."
)
FORCE = flag("--force", help="Replace FILE if there is one.")


def init(given: Given) -> int:
    """Propose a policy; gives the exit code."""
    root = workspace.directory(given[WORKSPACE], "init")
    out = given[OUT]
    if out == Path("-"):
        out = None
    if out is not None and workspace.is_inside(out, root):
        raise UsageError(
            f"-o {out} lies in the workspace, and a policy is never read from there: name a file "
            "somewhere else"
        )
    proposal = propose(root, images=frozenset(names()))
    if out is None:
        print(proposal.text, end="")
    else:
        _write(out, proposal.text, replace=given[FORCE])
    file = str(out) if out is not None else "FILE"
    verify = f" --verify {shlex.quote(proposal.verify)}" if proposal.verify else ""
    where = shlex.quote(str(given[WORKSPACE]))
    print(
        visible(
            f"next: read it, then moonpool policy check {shlex.quote(file)} and "
            f"moonpool run TASK -w {where} -p {shlex.quote(file)}{verify}"
        ),
        file=sys.stderr,
    )
    return exit_codes.DONE


def _write(out: Path, text: str, *, replace: bool) -> None:
    # A link that stands there is not followed, whatever it leads to.
    mode = os.O_TRUNC if replace else os.O_EXCL
    try:
        opened = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | mode, 0o666)
    except FileExistsError as error:
        raise UsageError(f"{out} is there already: name another file, or say --force") from error
    except OSError as error:
        raise UsageError(f"-o {out} can't be written: {error.strerror}") from error
    with os.fdopen(opened, "w", encoding="ascii") as stream:
        stream.write(text)


COMMAND = Command(
    init,
    (WORKSPACE, OUT, FORCE),
    """

    Nothing of the repository is run, and nothing is applied: read the proposal first.

    Example: moonpool init -w path/to/repo -o policy.yaml
    """,
)
