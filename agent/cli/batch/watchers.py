"""Which of the ways to show a batch: a program's, a pipe's, a terminal's."""

import sys

from agent.batch.board import Board
from agent.batch.watching.interface import Watcher
from agent.batch.watching.json_lines import JsonWatcher
from agent.batch.watching.plain import PlainWatcher
from agent.batch.watching.tally import Tally
from agent.terminal.screen import PlainScreen, write_nowhere


def open_watcher(tally: Tally, board: Board, *, json_lines: bool) -> Watcher:
    """What happens goes to standard error, as with a run; with ``--json`` it is the output."""
    if json_lines:
        return JsonWatcher(print_line)
    if sys.stderr.isatty():
        from agent.batch.watching.live import LiveWatcher
        from agent.terminal.live_block import LiveBlock
        from agent.terminal.rich_screen import console

        return LiveWatcher(LiveBlock(console(leavable=True, errors=True)), tally, board)
    return PlainWatcher(PlainScreen(sys.stderr, leavable=True), tally)


def print_line(line: str) -> None:
    """One line of output. Whoever read it may have left: that costs the batch nothing."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        write_nowhere(sys.stdout)
