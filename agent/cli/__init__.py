"""The command line. `main` is the only entry; nothing in this package is imported by others."""

import os
import sys
from pathlib import Path


def main() -> None:
    """Run ``moonpool``: the console script calls this."""
    _trust_no_working_directory()
    # Looking for plugins reads the metadata of every installed package. There are none of ours.
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    from agent.cli import app

    sys.exit(app.run())


def _trust_no_working_directory() -> None:
    """Take the current directory off the import path: an untrusted tree may hold a ``yaml.py``.

    A console script does not put it there, but an empty part in PYTHONPATH does. Where this very
    package was loaded from stays (a checkout that is being worked on).
    """
    own = Path(__file__).resolve().parents[2]

    def stays(entry: str) -> bool:
        if not os.path.isabs(entry):
            return False
        place = Path(entry).resolve()
        return place == own or place != Path.cwd().resolve()

    try:
        sys.path[:] = [entry for entry in sys.path if stays(entry)]
    except OSError:  # the current directory is gone: relative entries then lead nowhere
        sys.path[:] = [entry for entry in sys.path if os.path.isabs(entry)]
