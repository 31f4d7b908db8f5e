"""One call from the text of an answer, or why there is none that could be run.

Pure, and strict: what is run was written in one way only. An answer with a call ends in its one
fence, and in the fence stands one JSON object::

    words, if any

    ```call-3fa9c1
    {"name": "bash", "arguments": {"command": "pytest -q"}}
    ```

The fence's label is drawn for the run: a call that the model quotes from a file, or from what a
program printed, does not have it. Only what the model itself says is ever read here. Refuses to
know which tools there are and what fits their arguments (`agent.conversation.tool_calls`).
"""

import re
from collections.abc import Mapping
from typing import Final

from agent.models import tool_arguments
from policies.frozen import dataclass

_KEYS: Final = frozenset({"name", "arguments"})
_LONGEST_NAME: Final = 64
_FENCE_LINE: Final = re.compile(r"\s*(?:`{3,}|~{3,})")
_OTHER_CALL: Final = re.compile(
    r"```|~~~|<(?:think|thinking|thought|reasoning)\b|\[THINK\]"
    r"|</?tool_?calls?\b|<function[=_ ]|<invoke\b|<\||\[TOOL_CALLS\]"
    r"|\"(?:name|tool|function)\"\s*:",
    re.IGNORECASE,
)
"""What the words before a call must not hold: it could be another one, or still a thought."""
_THOUGHT: Final = re.compile(
    r".*(?:</(?:think|thinking|thought|reasoning)>|\[/THINK\])[ \t]*$", re.DOTALL | re.MULTILINE
)
"""No line of a call's JSON ends so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenCall:
    name: str
    arguments: Mapping[str, object]
    words: str
    """What the answer says before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnclearCall:
    """A call was meant, and nothing may run."""

    why: str
    """A clause for the model: what is wrong with it."""


def read(answer: str, *, label: str) -> WrittenCall | UnclearCall | None:
    """The call that an answer ends with; None: it has no fence of a call.

    Args:
        label: of the run's own fences.
    """
    thought, said = _parted(answer.replace("\r\n", "\n"))
    if label not in said:
        return None
    lines = said.split("\n")
    fences = [number for number, line in enumerate(lines) if _FENCE_LINE.match(line)]
    why = _misplaced(lines, fences, label)
    if why is not None:
        return UnclearCall(why=why)
    first, last = fences
    words = "\n".join(lines[:first])
    if _OTHER_CALL.search(words) or label in words:
        why = "what stands before its fence could be another call, or a thought without end"
        return UnclearCall(why=why)
    return _decoded("\n".join(lines[first + 1 : last]), words=(thought + words).strip())


def _parted(answer: str) -> tuple[str, str]:
    """What a server left of a model's thinking in its answer, and what it says after that."""
    thought = _THOUGHT.match(answer)
    end = thought.end() if thought is not None else 0
    return answer[:end], answer[end:]


def _misplaced(lines: list[str], fences: list[int], label: str) -> str | None:
    """What is wrong with where the fences stand."""
    opening = f"```{label}"
    if not any(label in lines[number] for number in fences):
        return f"no line is {opening}"
    if len(fences) != 2:
        return "its fence is not closed" if len(fences) == 1 else "it has more than one fence"
    first, last = fences
    if lines[first].rstrip() != opening or lines[last].rstrip() != "```":
        return f"the fence is not opened by a line {opening} and closed by a line ```"
    if any(line.strip() for line in lines[last + 1 :]):
        return "something follows its fence"
    return None


def _decoded(text: str, *, words: str) -> WrittenCall | UnclearCall:
    try:
        call = tool_arguments.decode_strictly(text)
    except tool_arguments.ArgumentsError as error:
        return UnclearCall(why=str(error))
    if call.keys() != _KEYS:
        return UnclearCall(why='the keys of the object are not "name" and "arguments" alone')
    name, arguments = call["name"], call["arguments"]
    if not isinstance(name, str) or not name or len(name) > _LONGEST_NAME:
        return UnclearCall(why="its name is not the name of a tool")
    if not isinstance(arguments, dict):
        return UnclearCall(why="its arguments are not an object")
    return WrittenCall(name=name, arguments=arguments, words=words)
