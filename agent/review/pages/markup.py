"""HTML written so that nothing gets into it unescaped: text becomes markup only by `tag`.

What an agent says is shown with the marks of Markdown as what they mean. A stranger wrote it: no
address in it becomes a link or a picture, no HTML in it is HTML, and what its parser gives is taken
for the structure alone; the markup is ours.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from agent.untrusted_text import visible

if TYPE_CHECKING:
    from markdown_it.token import Token

STYLE = Path(__file__).with_name("report.css")
"""Of every page."""

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})
_VOID = frozenset({"hr", "img", "input", "link", "meta"})
_LONGEST_CHARACTERS = 40_000
_PLAIN = re.compile(r"(?!\d+[.)])[A-Za-z0-9(][A-Za-z0-9 ,.;:'\"()/?%-]*")
"""One line of words that no mark of Markdown can stand in: most last words of a short run."""
_NAMES = frozenset(
    {"p", "ul", "ol", "li", "blockquote", "em", "strong", "table", "thead", "tbody", "tr", "th"}
    | {"td"}
)
_TITLES = {"h1": "h3", "h2": "h3", "h3": "h4", "h4": "h5", "h5": "h6", "h6": "h6"}
"""On the page, the text's titles stand below the page's own."""


class Markup(str):
    """HTML that may stand in a page as it is: made by `tag` and `joined`, or our own style."""

    __slots__ = ()


def tag(name: str, /, *content: str, **attributes: str) -> Markup:
    """An element. What is no `Markup` is escaped, in attributes too; ``class_`` is ``class``.

    An attribute that is empty is left out.
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"'
        for key, value in attributes.items()
        if value
    )
    if name in _VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{joined(*content)}</{name}>")


def joined(*content: str) -> Markup:
    """Several pieces after each other, each escaped unless it is markup."""
    return Markup("".join(map(escaped, content)))


def linked(content: str, address: str) -> Markup:
    """A link, or the content alone where there is no address."""
    return tag("a", content, href=address) if address else joined(content)


def escaped(text: str) -> str:
    """The text as it may stand between tags, and in an attribute in quotes."""
    return text if isinstance(text, Markup) else text.translate(_ESCAPES)


def lines(body: Iterable[Markup]) -> Iterable[Markup]:
    """Each part on a line of its own."""
    return (joined(part, "\n") for part in body)


def document(title: str, head: Sequence[Markup], body: Markup) -> str:
    """A whole page: `body` is the element of that name, `head` what stands beside the title."""
    top = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        *head,
    )
    return f'<!doctype html>\n<html lang="en">\n{top}\n{body}\n</html>\n'


def rendered(text: str) -> Markup:
    """The text as HTML. One that is longer than anybody reads is cut and says so."""
    shown = visible(text.strip())
    if len(shown) > _LONGEST_CHARACTERS:
        shown = f"{shown[:_LONGEST_CHARACTERS]}\n\n[cut, {len(shown)} characters]"
    if _PLAIN.fullmatch(shown):
        return tag("div", tag("p", shown), class_="markdown")
    from markdown_it import MarkdownIt  # noqa: PLC0415 - 70 modules, at the end of each run

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    return tag("div", Markup("".join(_pieces(parser.parse(shown)))), class_="markdown")


def _pieces(tokens: "Sequence[Token]") -> Iterator[str]:
    for token in tokens:
        match token.type:
            case "inline":
                yield from _pieces(token.children or ())
            case "text" | "html_inline" | "html_block" | "text_special":
                yield escaped(token.content)
            case "code_inline":
                yield tag("code", token.content)
            case "fence" | "code_block":
                yield tag("pre", token.content, tabindex="0")
            case "softbreak":
                yield "\n"
            case "hardbreak":
                yield "<br>"
            case "hr":
                yield "<hr>"
            case "image":
                yield escaped(f"[picture: {token.content} ({token.attrs.get('src', '')})]")
            case "link_close":
                yield "</span>"
            case "link_open":
                yield f'<span class="address" title="{escaped(str(token.attrs.get("href", "")))}">'
            case _:
                yield from _structure(token)


def _structure(token: "Token") -> Iterator[str]:
    name = _TITLES.get(token.tag, token.tag)
    if name not in _NAMES and name not in _TITLES.values():
        yield escaped(token.content)
    elif not token.hidden:
        yield f"</{name}>" if token.nesting < 0 else f"<{name}>"
