"""What an agent says, with the marks of Markdown shown as what they mean.

Owns which of them count. A stranger wrote the text: no address in it becomes a link or a picture,
no HTML in it is HTML, and what its parser gives is taken for the structure alone; the markup is
ours.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from agent.review.pages.markup import Markup, escaped, tag
from agent.untrusted_text import visible

if TYPE_CHECKING:
    from markdown_it.token import Token

_LIMIT = 40_000
_PLAIN = re.compile(r"(?!\d+[.)])[A-Za-z0-9(][A-Za-z0-9 ,.;:'\"()/?%-]*")
"""One line of words that no mark of Markdown can stand in: most last words of a short run."""
_NAMES = frozenset(
    {"p", "ul", "ol", "li", "blockquote", "em", "strong", "table", "thead", "tbody", "tr", "th"}
    | {"td"}
)
_TITLES = {"h1": "h3", "h2": "h3", "h3": "h4", "h4": "h5", "h5": "h6", "h6": "h6"}
"""On the page, the text's titles stand below the page's own."""


def rendered(text: str) -> Markup:
    """The text as HTML. One that is longer than anybody reads is cut and says so."""
    shown = visible(text.strip())
    if len(shown) > _LIMIT:
        shown = f"{shown[:_LIMIT]}\n\n[cut, {len(shown)} characters]"
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
