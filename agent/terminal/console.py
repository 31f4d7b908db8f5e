"""The terminal that a run writes to. It may go away; the run may not."""

import os
import sys
from typing import IO

from rich.console import Console


class LeavableConsole(Console):
    """A console whose reader may leave (``moonpool run … | head``): the rest goes nowhere.

    The library would end the process there, with the agent's work still in the container.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        super().__init__(file=file, emoji=False, markup=False, highlight=False)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        # Python flushes once more while it ends, and would complain.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


def output_console() -> Console:
    """Standard output, for what a command was asked to print."""
    return Console(emoji=False, markup=False, highlight=False, file=sys.stdout)
