"""The examples of README.md and docs/: every block of code, as a reader sees it.

A block names its language. One that can't be run here has a comment above it, which no page shows:
``<!-- not run: REASON -->`` or ``<!-- run by: make TARGET -->``. YAML, TOML and JSON name the file
that they are, as ``title="small.yaml"``; such a file stands beside the commands that follow on its
page, and one called ``FILE, a part`` holds a few keys of it. Owns what a block is; knows not what
reads it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

from checkout import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_MARK = re.compile(r"<!-- (not run|run by): (.+?) -->")
PART = ", a part"
"""Ends the title of what holds a few keys of a file."""
_TITLE = re.compile(r'title="([^"]+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    page: str
    line: int
    """Of its first line of code, from 1."""
    language: str
    """Empty: none is named."""
    title: str
    text: str
    not_run: str | None
    """Why it can't be run here; None: it is, or elsewhere."""
    run_by: str | None
    """What runs it instead: a target of make."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_run(self) -> bool:
        return self.not_run is None and self.run_by is None

    @property
    def is_file(self) -> bool:
        return bool(self.title) and not self.title.endswith(PART)

    def write(self, directory: Path) -> None:
        """As the file that its title names."""
        file = directory / self.title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.text, "utf-8")


@cache
def examples() -> tuple[Example, ...]:
    """All there are, page by page, in their order."""
    return tuple(it for page in PAGES for it in read(page))


def of(*languages: str) -> tuple[Example, ...]:
    return tuple(it for it in examples() if it.language in languages)


def read(page: Path) -> Iterator[Example]:
    above: dict[str, str] = {}
    for token in MarkdownIt().parse(page.read_text("utf-8")):
        if token.type in {"fence", "code_block"}:
            assert token.map is not None
            title = _TITLE.search(token.info)
            yield Example(
                page=str(page.relative_to(ROOT)) if page.is_relative_to(ROOT) else page.name,
                line=token.map[0] + (2 if token.type == "fence" else 1),
                language=token.info.split(" ")[0],
                title=title[1] if title else "",
                text=token.content,
                not_run=above.get("not run"),
                run_by=above.get("run by"),
            )
        above = dict(_MARK.findall(token.content)) if token.type == "html_block" else {}


@cache
def mentions() -> tuple[tuple[str, str], ...]:
    """Every command line of ours within the text, as (page, command)."""
    return tuple(
        (str(page.relative_to(ROOT)), " ".join(child.content.split()))
        for page in PAGES
        for token in MarkdownIt("commonmark").enable("table").parse(page.read_text("utf-8"))
        for child in token.children or ()
        if child.type == "code_inline" and child.content.startswith("moonpool ")
    )
