"""Text for an editor, which shows Markdown: what a stranger wrote acts on nothing and ends nothing.

Pure. An editor that loads a message's pictures by itself would carry text out in their addresses:
so no model's words make a picture, in Markdown or in HTML, and code that looks like one stays as it
is.
"""

import re

from agent.untrusted_text import visible

_SHOWN_CHARACTERS = 16_000
_TICKS = re.compile("`+")
_OPENING = re.compile(r"(`{3,}(?=[^`]*$)|~{3,})")
"""At the left edge alone: a fence in a list or a quotation may end before it says so."""
_CLOSING = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*\r?")
_DOUBTFUL = re.compile(r"[ \t]*(<|\\\[|\\begin\b)|.*(```|~~~|\$\$)")
"""Markup of another kind (HTML, mathematics), in which a fence is none; or a fence that stands
elsewhere."""
_LINE_LIMIT = 1000
_TAG_NAME = 20
_NO_BARE_TAGS = frozenset(
    {
        *("iframe", "listing", "plaintext", "pre", "script", "style", "textarea", "xmp"),
        *("audio", "canvas", "datalist", "details", "dialog", "noembed", "noframes", "noscript"),
        *("frameset", "head", "math", "meter", "progress", "rp"),
        *("select", "svg", "template", "title", "video"),
    }
)
"""HTML whose content is no Markdown, over empty lines too, or is not shown; any other tag acts by
its attributes."""
_HIDING = frozenset({"hidden", "inert", "popover"})
"""What a tag does not need a value for."""
_GENERIC = re.compile(r"<[A-Za-z]\w*(?:, ?[\w.?<\[\]]+)+")
"""The parameters of a type up to the first ``>``; to HTML a tag that nobody knows, and attributes
without a value."""
_IN_GENERIC = frozenset("_., ?<[]")
_GENERIC_CHARACTERS = 80
_TITLE_MARK = re.compile(r"<(?=[!?])")
_TITLE_TAG = re.compile(rf"<(?=[a-z][^\s/]*[\s/]|(?:{'|'.join(_NO_BARE_TAGS)})\Z)", re.IGNORECASE)
_TITLE_ACTS = re.compile(rf"=|\b(?:{'|'.join(_HIDING)})\b|<\w+\Z", re.IGNORECASE)


def fenced(text: str, *, limit: int = _SHOWN_CHARACTERS) -> str:
    """As code, to the letter: the fence is longer than any in it. Cut in its middle."""
    shown = visible(text)
    if len(shown) > limit:
        half = limit // 2
        cut = len(shown) - 2 * half
        shown = f"{shown[:half]}\n[… {cut} characters are not shown …]\n{shown[-half:]}"
    longest = max((len(ticks) for ticks in _TICKS.findall(shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{shown.rstrip(chr(10))}\n{fence}"


class ModelWords:
    """A model's words, piece by piece, as Markdown that shows no picture.

    Mutable: it knows whether a block of code is open. Where that is in doubt, none is.
    """

    def __init__(self) -> None:
        self._line = ""
        self._after_mark = False
        self._fence = ""
        self._doubt = False
        """Whether a line opens a block of code is not known any more."""
        self._tag = ""
        """What may become a tag of HTML, and is not shown yet."""
        self._gap = ""

    def piece(self, text: str) -> str:
        """The next piece, made visible. The beginning of a tag is held back."""
        shown: list[str] = [self._gap] if text else []
        self._gap = "" if text else self._gap
        for char in visible(text):
            if self._tag:
                if self._held_back(char):
                    self._tag += char
                else:
                    shown.append(self._tag_before(char))
            if char == "[" and self._after_mark and not self._fence:
                shown.append("\\")
            if char == "<" and not self._fence and not self._tag:
                self._tag = char
            elif not self._tag:
                shown.append(char)
            self._after_mark = char == "!"
            if char == "\n":
                self._ended(self._line)
                self._line = ""
            elif len(self._line) <= _LINE_LIMIT:
                self._line += char
        return "".join(shown)

    def broken_off(self) -> str:
        """What was held back, of words after which something else is shown. What comes next may
        stand in a message of its own, or go on in this one: so it begins a paragraph, and no block
        of code that is open now is one for sure."""
        rest = self._tag_before("")
        if self._line:
            self._gap = "\n\n"
            self._ended(self._line)
        self._line, self._after_mark = "", False
        self._doubt = self._doubt or bool(self._fence)
        self._fence = ""
        return rest

    def _held_back(self, char: str) -> bool:
        """Whether that goes on with what may become the name of a tag, or a type's parameters."""
        if not char.isascii():
            return False
        if char == "/" and self._tag == "<":
            return True
        if self._tag.startswith("</"):
            return char.isalnum() and len(self._tag) < _TAG_NAME
        if "," not in self._tag and char != ",":
            return char.isalnum() and len(self._tag) < _TAG_NAME
        may = self._tag[1:2].isalpha() and len(self._tag) < _GENERIC_CHARACTERS
        return may and (char.isalnum() or char in _IN_GENERIC)

    def _tag_before(self, char: str) -> str:
        """What was held back, as no tag that could show or hide a thing."""
        tag, self._tag = self._tag, ""
        name = tag[1:].lower()
        generic = _GENERIC.fullmatch(tag) is not None
        words = set(re.findall(r"\w+", name))
        bare = char == ">" and (generic or name.isalnum()) and not words & (_NO_BARE_TAGS | _HIDING)
        if tag.startswith("</"):
            # With more than a name, HTML takes it all for the tag's, or for a comment.
            acts = char != ">" or not tag[2:].isalnum()
        else:
            acts = char in {"!", "?"} if tag == "<" else name[:1].isalpha() and not bare
        return tag.replace("<", "<\\") if acts else tag

    def _ended(self, line: str) -> None:
        if self._fence:
            closing = _CLOSING.fullmatch(line)
            if closing is not None and closing[1].startswith(self._fence):
                self._fence = ""
                self._doubt = self._doubt or len(line) > _LINE_LIMIT
            return
        opening = _OPENING.match(line) if len(line) <= _LINE_LIMIT else None
        self._doubt = self._doubt or (opening is None and _DOUBTFUL.match(line) is not None)
        self._fence = opening[1] if opening is not None and not self._doubt else ""


def without_pictures(text: str) -> str:
    """One whole text of a stranger that an editor may show as Markdown, made visible."""
    words = ModelWords()
    return words.piece(text) + words.broken_off()


def title(line: str) -> str:
    """A visible line that says what is called, as Markdown: no picture, and no tag that acts.

    Less is touched than of other words: ``sort <in >out`` is shown to the letter.
    """
    tags = _TITLE_MARK.sub(r"<\\", line.replace("![", "!\\[")).split(">")
    return ">".join(_TITLE_TAG.sub(r"<\\", it) if _TITLE_ACTS.search(it) else it for it in tags)
