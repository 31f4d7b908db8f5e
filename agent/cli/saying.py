"""Where a command's words go: what it does to standard error, what comes of it to standard output.

With ``--json`` only one object stands on standard output, whatever else is said.
"""

import json
import sys
from collections.abc import Mapping

from agent.untrusted_text import visible


def progress(text: str) -> None:
    """Say what is being done."""
    print(visible(text), file=sys.stderr, flush=True)


def print_json(document: Mapping[str, object]) -> None:
    """One object. ASCII, so that nothing in a hostile text acts on a terminal."""
    print(json.dumps(document, indent=2))
