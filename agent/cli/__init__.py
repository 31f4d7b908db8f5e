"""The command line. `main` is the only entry; nothing in this package is imported by others."""

import gc
import os
import sys


def main() -> None:
    """Run ``moonpool``: the console script calls this."""
    try:
        _trust_no_working_directory()
        _look_for_no_plugins()
        from agent.cli import app

        code = app.run()
        # All that is left goes with the process: Python need not look for garbage in it first.
        gc.freeze()
        sys.exit(code)
    except KeyboardInterrupt:
        # Wherever it comes, while modules are loaded too.
        sys.stderr.write("moonpool: interrupted\n")
        sys.exit(130)


def _look_for_no_plugins() -> None:
    """Of pydantic's: there are none of ours, and the look reads what every package says of itself.

    The module that would look imports 25 others, those for e-mail among them, before it asks
    whether it may: an empty one stands in for it. Where pydantic has it elsewhere, it is asked.
    """
    os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"
    loader = type(sys)("pydantic.plugin._loader")
    vars(loader)["get_plugins"] = tuple
    sys.modules[loader.__name__] = loader


def _trust_no_working_directory() -> None:
    """Take the current directory off the import path: an untrusted tree may hold a ``yaml.py``.

    A console script does not put it there, but an empty part in PYTHONPATH does. Where this very
    package was loaded from stays (a checkout that is being worked on). Nothing but what Python has
    loaded already is imported here: it would come from that very directory.
    """
    own = os.path.realpath(__file__).rsplit(os.sep, 3)[0]
    try:
        here = os.path.realpath(os.getcwd())
    except OSError:  # it is gone: relative entries lead nowhere then
        here = own

    def stays(entry: str) -> bool:
        place = os.path.realpath(entry)
        return os.path.isabs(entry) and (place == own or place != here)

    sys.path[:] = [entry for entry in sys.path if stays(entry)]
