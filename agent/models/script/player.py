"""``script:FILE``: a recorded conversation that stands in for a model.

For demonstrations and tests without a key: everything but the words of the model is real. Owns the
playing; the file's form and its strict reading are `agent.models.script.file`'s. Deterministic: the
same file and the same results give the same run. Usage is zero.

A file, YAML, at most 16 MiB; unknown keys are errors::

    version: 1
    turns:                            # one for each answer of the model, in order
      - text: I'll run the tests.     # optional
        calls:                        # optional; all of them in one turn
          - tool: bash
            arguments: {command: pytest -q}
      - expect: "1 failed"            # optional: must stand in the last tool results, or the run
        calls:                        # ends with an error that shows both
          - tool: read_file
            arguments: {path: calc.py}
      - expect: {regex: 'return a \\+ b$'}   # multi-line mode: ^ and $ match at lines
        text: Done.
        stop: end_turn                # optional: any `agent.models.interface.StopReason`; by
                                      # default tool_use with calls, end_turn without

A turn has at least one of ``text``, ``calls`` and ``stop``. ``expect`` takes one text or regex, or
a list of them that must all be found in the results of the turn before, taken together. A relative
FILE is looked up from the current directory.

Where the run is in text form (``tool_form: text``), a turn's call is written as the prompt asks.

A resumed run goes on where its history stands: the first reply of a process is the turn after as
many as the history holds answers.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from agent.errors import ModelError
from agent.models.interface import (
    AssistantMessage,
    Message,
    Reply,
    Request,
    StopReason,
    StreamEvent,
    Text,
    TextDelta,
    ToolResult,
    ToolUse,
    Usage,
    UserMessage,
)
from agent.models.script import file as script_file
from agent.models.script.file import Expectation, Turn

_SHOWN_CHARACTERS: Final = 400


class ScriptModel:
    """Plays a script's turns, one for each reply."""

    def __init__(self, turns: Sequence[Turn], *, file: str) -> None:
        self._turns = tuple(turns)
        self._file = file
        self._next: int | None = None

    @classmethod
    def open(cls, file: str) -> "ScriptModel":
        """Read a script.

        Raises:
            UsageError: it can't be read or is not a script; names file, line and key.
        """
        return cls(script_file.load(Path(file)), file=file)

    @property
    def name(self) -> str:
        return f"script:{self._file}"

    def reply(self, request: Request, on_event: Callable[[StreamEvent], None]) -> Reply:
        """The next turn.

        Raises:
            ModelError: the turns have run out, or a result is not what the turn expects.
        """
        if self._next is None:
            self._next = sum(isinstance(m, AssistantMessage) for m in request.messages)
        if self._next >= len(self._turns):
            raise ModelError(
                f"{self._file}: the script has only {len(self._turns)} turns and the run goes on: "
                "add a turn, or end the last one without calls"
            )
        number = self._next + 1
        turn = self._turns[self._next]
        label = None if request.tools else _label_in(request.system)
        self._check(turn, number, last_results(request.messages, in_text=label is not None))
        self._next = number
        message, stop = _message(turn, number), _stop(turn)
        if turn.calls and label is not None:
            message, stop = _in_text(message, label), StopReason.END_TURN
        for block in message.blocks:
            if isinstance(block, Text):
                on_event(TextDelta(text=block.text))
        return Reply(message=message, stop=stop, usage=Usage())

    def _check(self, turn: Turn, number: int, results: str) -> None:
        for expectation in turn.expect:
            if not found(expectation, results):
                raise ModelError(
                    f"{self._file}:{turn.line}: turn {number} expects {_shown(expectation)} in the "
                    f"last tool results; they were: {_excerpt(results)}"
                )


def last_results(messages: Sequence[Message], *, in_text: bool = False) -> str:
    """The texts of the results in the newest message, a line break between two.

    Args:
        in_text: results are texts as all else.
    """
    newest = messages[-1] if messages else None
    if not isinstance(newest, UserMessage):
        return ""
    wanted = Text if in_text else ToolResult
    return "\n".join(block.text for block in newest.blocks if isinstance(block, wanted))


def found(expectation: Expectation, results: str) -> bool:
    if isinstance(expectation, str):
        return expectation in results
    return expectation.search(results) is not None


def _message(turn: Turn, number: int) -> AssistantMessage:
    text = [Text(text=turn.text)] if turn.text else []
    calls = [
        ToolUse(id=f"script_{number}_{position}", name=call.tool, arguments=call.arguments)
        for position, call in enumerate(turn.calls, start=1)
    ]
    return AssistantMessage(blocks=(*text, *calls))


def _label_in(system: str) -> str | None:
    from agent.models.text_calls import rendering  # noqa: PLC0415 - where no tools are offered

    return rendering.label_in(system)


def _in_text(message: AssistantMessage, label: str) -> AssistantMessage:
    """Its calls, written as the prompt asks for them."""
    from agent.models.text_calls import rendering  # noqa: PLC0415 - as above

    parts = [
        rendering.written(block, label) if isinstance(block, ToolUse) else block.text
        for block in message.blocks
        if isinstance(block, ToolUse | Text)
    ]
    return AssistantMessage(blocks=(Text(text="\n\n".join(parts)),))


def _stop(turn: Turn) -> StopReason:
    return turn.stop or (StopReason.TOOL_USE if turn.calls else StopReason.END_TURN)


def _shown(expectation: Expectation) -> str:
    return repr(expectation) if isinstance(expectation, str) else f"/{expectation.pattern}/"


def _excerpt(text: str) -> str:
    if not text:
        return "(none)"
    if len(text) <= _SHOWN_CHARACTERS:
        return repr(text)
    half = _SHOWN_CHARACTERS // 2
    return f"{text[:half]!r} … {text[-half:]!r}"
