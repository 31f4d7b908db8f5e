"""Hostile bytes as text a person can look at: decoded, and with nothing in it that acts.

What a repository or a model writes ends up on the operator's terminal and in the report. Escape
sequences, carriage returns, and characters that reorder or hide others are shown as what they are
(``\\x1b``, ``\\u202e``) instead of being obeyed. The model itself gets the plain decoded text.
"""

import re
import unicodedata

_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Unicode categories: controls, formats (bidirectional and zero-width among them), private use,
surrogates, line and paragraph separators."""

_KEPT = frozenset("\n\t")

_WORD_END = 80
_LONG_WORD = re.compile(rf"[^\s]{{{2 * _WORD_END + 2},}}")

_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u180e")
"""Letters and symbols that show nothing, used to disguise names."""


def decode(data: bytes) -> str:
    """UTF-8; what is not becomes U+FFFD. Never fails."""
    return data.decode("utf-8", "replace")


def visible(text: str) -> str:
    """The text with everything that acts or hides made visible; newlines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_shown(char) if _acts(char) else char for char in text)


def one_line(text: str, limit: int = 0) -> str:
    """As `visible`, on one line: newlines become ``⏎``. Cut to `limit` characters if not 0."""
    line = visible(text).replace("\n", "⏎").replace("\t", " ")
    if limit and len(line) > limit:
        return line[: limit - 1] + "…"
    return line


def shortened(text: str) -> str:
    """The text with each long word cut in its middle: a path has its telling parts at both ends."""
    return _LONG_WORD.sub(lambda found: f"{found[0][:_WORD_END]}…{found[0][-_WORD_END:]}", text)


def path_text(path: bytes) -> str:
    """A path as one visible line; bytes that are not UTF-8 as ``\\xff``."""
    return (
        visible(path.decode("utf-8", "backslashreplace")).replace("\n", "\\n").replace("\t", "\\t")
    )


def _acts(char: str) -> bool:
    if char in _KEPT:
        return False
    return unicodedata.category(char) in _UNSEEN or char in _BLANK_LETTERS


def _shown(char: str) -> str:
    number = ord(char)
    if number < 0x100:
        return f"\\x{number:02x}"
    if number < 0x10000:
        return f"\\u{number:04x}"
    return f"\\U{number:08x}"
