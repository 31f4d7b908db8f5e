"""A process that finds the colours of source code, for texts that it is handed one after the other.

What it reads is a stranger's: a lexer is a heap of regular expressions, and a text can be made to
keep one busy for ever. So it runs apart, with bounds, and `agent.review.server.colouring` ends it.

On standard input a JSON line a text: ``{"name": …, "text": …}``. On standard output one for each:
a list of lines, each a list of ``[start, end, kind]``.
"""

import json
import resource
import sys

from pygments.lexers import get_lexer_for_filename
from pygments.token import (
    Comment,
    Keyword,
    Literal,
    Name,
    Number,
    Operator,
    String,
    Token,
    _TokenType,
)
from pygments.util import ClassNotFound

_MEMORY_BYTES = 512 << 20
_CPU_S = 600
_KINDS = (
    (Comment, "c"),
    (Number, "m"),
    (String, "s"),
    (Literal, "s"),
    (Keyword, "k"),
    (Operator.Word, "k"),
    (Name.Tag, "k"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Decorator, "f"),
    (Name.Attribute, "f"),
    (Name.Builtin, "b"),
    (Name.Exception, "b"),
    (Name.Constant, "b"),
)
Span = tuple[int, int, str]


def main() -> None:
    """Answer until the input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        sys.stdout.write(json.dumps(coloured(asked["name"], asked["text"])) + "\n")
        sys.stdout.flush()


def coloured(name: str, text: str) -> list[list[Span]]:
    """The pieces of each line that have a colour."""
    try:
        lexer = get_lexer_for_filename(name)
    except ClassNotFound:
        return []
    lines: list[list[Span]] = [[]]
    column = 0
    for _, token, value in lexer.get_tokens_unprocessed(text):
        kind = _kind(token)
        for number, piece in enumerate(value.split("\n")):
            if number:
                lines.append([])
                column = 0
            if kind and piece:
                lines[-1].append((column, column + len(piece), kind))
            column += len(piece)
    return lines


def _kind(token: _TokenType) -> str:
    if token is Token.Text:
        return ""
    return next((kind for parent, kind in _KINDS if token in parent), "")


if __name__ == "__main__":
    main()
