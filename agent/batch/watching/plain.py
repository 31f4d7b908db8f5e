"""A batch in a pipe: one line a task, and one at the end."""

from agent.batch.watching.events import BatchEvent
from agent.batch.watching.interface import Watcher
from agent.batch.watching.tally import Tally
from agent.batch.watching.wording import in_words
from agent.terminal.screen import Line, Screen


class PlainWatcher(Watcher):
    def __init__(self, screen: Screen, tally: Tally) -> None:
        self._screen = screen
        self._tally = tally

    def tell(self, event: BatchEvent) -> None:
        if words := in_words(event):
            tally = self._tally
            self._screen.print(Line(f"[{tally.over}/{tally.total}] {words}"))
