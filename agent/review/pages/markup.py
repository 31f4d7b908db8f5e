"""HTML written so that nothing gets into it unescaped: text becomes markup only by `tag`."""

_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;"})
_VOID = frozenset({"hr", "img", "input", "link", "meta"})


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


def escaped(text: str) -> str:
    """The text as it may stand between tags, and in an attribute in quotes."""
    return text if isinstance(text, Markup) else text.translate(_ESCAPES)
