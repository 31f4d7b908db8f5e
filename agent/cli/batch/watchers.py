"""Which of the ways to show a batch: a program's, a pipe's, a terminal's."""

import sys

from agent.batch.board import Board
from agent.batch.watching.interface import Watcher
from agent.batch.watching.json_lines import JsonWatcher
from agent.batch.watching.plain import PlainWatcher
from agent.batch.watching.tally import Tally
from agent.terminal.screen import Screen, print_line


def open_watcher(tally: Tally, board: Board, *, json_lines: bool) -> Watcher:
    """What happens goes to standard error, as with a run; with ``--json`` it is the output."""
    if json_lines:
        return JsonWatcher(print_line)
    if sys.stderr.isatty():
        from agent.batch.watching.live import LiveWatcher
        from agent.terminal.live_block import LiveBlock
        from agent.terminal.rich_screen import console

        return LiveWatcher(LiveBlock(console(leavable=True, errors=True)), tally, board)
    return PlainWatcher(Screen(sys.stderr, leavable=True), tally)
