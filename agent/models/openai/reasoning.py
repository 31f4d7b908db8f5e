"""The ``reasoning_details`` of one chat-completions stream, put together from their pieces.

Pure. OpenRouter streams the texts of a detail in pieces, each under the detail's own index, and
what is signed or encrypted whole. Refuses to know what any of it means: it goes back as it came.
Source: OpenRouter's page on reasoning tokens (November 2026).
"""

from collections.abc import Mapping
from typing import Any, Final

_TEXTS: Final = ("text", "summary")


class ReasoningDetails:
    """In the order in which they began."""

    def __init__(self) -> None:
        self._details: list[dict[str, Any]] = []
        self._texts: list[dict[str, list[str]]] = []

    def add(self, pieces: list[Any]) -> None:
        """Take the list of one delta; what is no object in it is nothing."""
        for piece in pieces:
            if isinstance(piece, Mapping):
                self._add(piece)

    def _add(self, piece: Mapping[str, Any]) -> None:
        texts = {key: piece[key] for key in _TEXTS if isinstance(piece.get(key), str)}
        if not (self._details and self._goes_on(piece, texts)):
            self._details.append({})
            self._texts.append({})
        given = {key: value for key, value in piece.items() if value is not None}
        self._details[-1].update(given)
        for key, text in texts.items():
            self._texts[-1].setdefault(key, []).append(text)

    def _goes_on(self, piece: Mapping[str, Any], texts: Mapping[str, str]) -> bool:
        last = self._details[-1]
        same = all(piece.get(key) == last.get(key) for key in ("type", "index"))
        other = piece.get("id") not in {None, last.get("id")}
        # A signature comes after its text, alone.
        return same and not other and bool(texts or "signature" in piece) and "data" not in piece

    @property
    def whole(self) -> list[dict[str, Any]]:
        joined = ({key: "".join(pieces) for key, pieces in texts.items()} for texts in self._texts)
        return [{**detail, **texts} for detail, texts in zip(self._details, joined, strict=True)]
