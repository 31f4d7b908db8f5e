"""A batch on a terminal: what happened scrolls by, what goes on stands below and moves.

Owns how often it is shown anew, whatever a thousand workers do.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.batch.board import Board
from agent.batch.watching.events import BatchEvent
from agent.batch.watching.frame import SoFar, frame
from agent.batch.watching.interface import Watcher
from agent.batch.watching.tally import Tally
from agent.batch.watching.wording import in_words
from agent.terminal.screen import Line

if TYPE_CHECKING:
    from agent.terminal.live_block import LiveBlock

_EVERY_S = 0.25


class LiveWatcher(Watcher):
    def __init__(
        self,
        block: "LiveBlock",
        tally: Tally,
        board: Board,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._block = block
        self._tally = tally
        self._board = board
        self._clock = clock
        self._began_s = clock()
        self._before = SoFar(over=tally.over, usd=tally.usd)
        self._due_s = self._began_s

    def tell(self, event: BatchEvent) -> None:
        if words := in_words(event):
            self._block.print(Line(words))

    def refresh(self) -> None:
        now_s = self._clock()
        if now_s < self._due_s:
            return
        self._due_s = now_s + _EVERY_S
        lines = frame(
            self._tally,
            self._board.lines().values(),
            now_s=now_s,
            elapsed_s=now_s - self._began_s,
            before=self._before,
            rows=self._block.rows,
            fancy=self._block.fancy,
        )
        self._block.show(lines)

    def close(self) -> None:
        self._block.close()
