"""``script:FILE``: a recorded conversation that stands in for a model.

For demonstrations and tests without a key: everything but the words of the model is real. Owns the
file's form, its strict reading (every error with file, line and key path), and the playing.
Deterministic: the same file and the same results give the same run. Usage is zero.

A file, YAML as strict as a policy's, at most 16 MiB; unknown keys are errors::

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

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pydantic

from agent.errors import ModelError, UsageError
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
from policies.errors import PolicyError
from policies.file.document import parse, utf8
from policies.file.fields import StrictModel, check_version, decoded_strictly
from sandbox.threads import Recent

LARGEST_BYTES: Final = 16 * 1024 * 1024


def load(path: Path) -> "Turns":
    """Read a script.

    Raises:
        UsageError: one line that names file, line and key path where it can.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        where = "" if path.is_absolute() else "; its path counts from where you are"
        raise UsageError(f"{path}: can't read the script: {error.strerror}{where}") from error
    if len(data) > LARGEST_BYTES:
        raise UsageError(f"{path}: a script may have {LARGEST_BYTES} bytes at most")
    return _decoded.get((data, str(path)), lambda: decode(data, str(path)))


_decoded = Recent["Turns"](2)
"""A batch plays one script in each of its runs."""


def decode(data: bytes, name: str) -> "Turns":
    """As `load`, from bytes; ``name`` stands in the errors."""
    try:
        document = parse(utf8(data, file=name), file=name, called="script")
        check_version(document, called="script")
        unknown = "is no key of a script (docs/models.md has them)"
        script = decoded_strictly(_Script, document, unknown=unknown)
    except PolicyError as error:
        raise UsageError(str(error)) from error
    return tuple(
        (document.where(("turns", index)).line, turn) for index, turn in enumerate(script.turns)
    )


class _ScriptCall(StrictModel):
    tool: Annotated[str, pydantic.Field(pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    arguments: dict[str, Any] = pydantic.Field(default_factory=dict)


def _compiling(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from error
    return text


class _Regex(StrictModel):
    regex: Annotated[str, pydantic.AfterValidator(_compiling)]


_Expect = Annotated[str, pydantic.Field(min_length=1)] | _Regex


class Turn(StrictModel):
    """One answer of the model, as it stands in a file."""

    text: str = ""
    calls: tuple[_ScriptCall, ...] = ()
    expect: _Expect | tuple[_Expect, ...] = ()
    # In YAML a reason is a string, which strict mode would not take for the enum.
    stop: Annotated[StopReason, pydantic.Field(strict=False)] | None = None

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> "Turn":
        if not (self.text.strip() or self.calls or self.stop):
            raise ValueError("a turn needs text, calls or stop")
        if self.stop == StopReason.TOOL_USE and not self.calls:
            raise ValueError("a turn that says stop: tool_use needs calls")
        return self


Turns = tuple[tuple[int, Turn], ...]
"""Each with its line in the file, from 1."""


class _Script(StrictModel):
    version: Literal[1]
    turns: Annotated[tuple[Turn, ...], pydantic.Field(min_length=1)]


_SHOWN_CHARACTERS: Final = 400


class ScriptModel:
    """Plays a script's turns, one for each reply."""

    def __init__(self, turns: Turns, *, file: str) -> None:
        self._turns = turns
        self._file = file
        self._next: int | None = None

    @classmethod
    def open(cls, file: str) -> "ScriptModel":
        """Read a script.

        Raises:
            UsageError: it can't be read or is not a script; names file, line and key.
        """
        return cls(load(Path(file)), file=file)

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
        line, turn = self._turns[self._next]
        label = None
        if not request.tools:
            from agent.models.text_calls import rendering  # noqa: PLC0415 - few runs offer none

            label = rendering.label_in(request.system)
        self._check(turn, number, line, last_results(request.messages, in_text=label is not None))
        self._next = number
        message = _message(turn, number)
        stop = turn.stop or (StopReason.TOOL_USE if turn.calls else StopReason.END_TURN)
        if turn.calls and label is not None:
            message, stop = _in_text(message, label), StopReason.END_TURN
        for block in message.blocks:
            if isinstance(block, Text):
                on_event(TextDelta(text=block.text))
        return Reply(message=message, stop=stop, usage=Usage())

    def _check(self, turn: Turn, number: int, line: int, results: str) -> None:
        expected = turn.expect if isinstance(turn.expect, tuple) else (turn.expect,)
        for expectation in expected:
            if not found(expectation, results):
                raise ModelError(
                    f"{self._file}:{line}: turn {number} expects {_shown(expectation)} in the "
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


def found(expectation: str | _Regex, results: str) -> bool:
    if isinstance(expectation, str):
        return expectation in results
    return re.search(expectation.regex, results, re.MULTILINE) is not None


def _message(turn: Turn, number: int) -> AssistantMessage:
    text = [Text(text=turn.text)] if turn.text else []
    calls = [
        ToolUse(
            id=f"script_{number}_{position}",
            name=call.tool,
            # As a provider's answer would have them: with lists, not with tuples.
            arguments=json.loads(json.dumps(call.arguments)),
        )
        for position, call in enumerate(turn.calls, start=1)
    ]
    return AssistantMessage(blocks=(*text, *calls))


def _in_text(message: AssistantMessage, label: str) -> AssistantMessage:
    """Its calls, written as the prompt asks for them."""
    from agent.models.text_calls import rendering  # noqa: PLC0415 - as above

    parts = [
        rendering.written(block, label) if isinstance(block, ToolUse) else block.text
        for block in message.blocks
        if isinstance(block, ToolUse | Text)
    ]
    return AssistantMessage(blocks=(Text(text="\n\n".join(parts)),))


def _shown(expectation: str | _Regex) -> str:
    return repr(expectation) if isinstance(expectation, str) else f"/{expectation.regex}/"


def _excerpt(text: str) -> str:
    if len(text) <= _SHOWN_CHARACTERS:
        return repr(text) if text else "(none)"
    half = _SHOWN_CHARACTERS // 2
    return f"{text[:half]!r} … {text[-half:]!r}"
