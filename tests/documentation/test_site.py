"""The site of docs/ is whole, its links lead somewhere, viewing it fetches nothing elsewhere."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent import exit_codes
from checkout import ROOT

PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))
_FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
_NAMED_ONLY = {"canonical", "alternate"}


def _build(directory: Path) -> subprocess.CompletedProcess[str]:
    """As `make docs` does, in another place."""
    shutil.copy(ROOT / "zensical.toml", directory)
    filled = [sys.executable, "-P", str(ROOT / "scripts/docs_pages.py"), "build/docs"]
    if not (directory / "build/docs").exists():
        subprocess.run(filled, cwd=directory, check=True)
    built = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--clean"]
    environ = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(
        built, cwd=directory, env=environ, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    done = _build(directory)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def _entries(found: object) -> Iterator[str]:
    match found:
        case str():
            yield found
        case list():
            for it in found:
                yield from _entries(it)
        case dict():
            for it in found.values():
                yield from _entries(it)


def test_every_page_stands_in_the_navigation_once() -> None:
    navigation = tomllib.loads((ROOT / "zensical.toml").read_text("utf-8"))["project"]["nav"]
    assert sorted(_entries(navigation)) == PAGES


def test_every_page_is_built(site: Path) -> None:
    built = {path.with_suffix(".md").name for path in (site / "build/site").glob("*.html")}
    assert built - {"404.md"} == set(PAGES)


def test_a_link_that_leads_nowhere_is_an_error(site: Path, tmp_path: Path) -> None:
    shutil.copytree(site / "build/docs", tmp_path / "build/docs")
    assert _build(tmp_path).returncode == 0
    page = tmp_path / "build/docs/index.md"
    whole = page.read_text("utf-8")
    for link in ("nowhere.md", "policies.md#nowhere"):
        page.write_text(f"{whole}\n[x]({link})\n", "utf-8")
        done = _build(tmp_path)
        assert done.returncode == 1, link
        assert "does not exist" in done.stderr


class _Fetched(HTMLParser):
    """The addresses that a browser fetches while it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.classes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.classes.update((named.get("class") or "").split())
        self.classes.add(named.get("data-md-component") or "")
        if tag in _FETCHED and not _NAMED_ONLY & {*(named.get("rel") or "").split()}:
            self.addresses.append(named.get(_FETCHED[tag]) or "")


def test_a_page_fetches_nothing_from_elsewhere(site: Path) -> None:
    found = _Fetched()
    pages = list((site / "build/site").rglob("*.html"))
    for page in pages:
        found.feed(page.read_text("utf-8"))
    assert len(found.addresses) > len(pages)
    assert [address for address in found.addresses if "//" in address] == []
    # What the theme's script would fetch a program or a number for.
    assert not {"mermaid", "glightbox", "pyodide", "source", "arithmatex"} & found.classes


def test_a_style_fetches_nothing_from_elsewhere(site: Path) -> None:
    styles = [it.read_text("utf-8") for it in (site / "build/site").rglob("*.css")]
    assert styles
    for style in styles:
        assert "url(http" not in style
        assert "url(//" not in style
        assert "@import" not in style


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("cli.md", "Usage: moonpool policy explain [OPTIONS] POLICY -- COMMAND..."),
        ("policy-reference.md", "| `forbid` |"),
        ("security.md", "## The promises"),
    ],
)
def test_what_the_code_says_stands_in_its_page(site: Path, page: str, said: str) -> None:
    text = (site / "build/docs" / page).read_text("utf-8")
    assert said in text
    assert "make docs" not in text
    assert "generated:" not in text


def test_every_exit_code_has_its_line() -> None:
    text = (ROOT / "docs/exit-codes.md").read_text("utf-8")
    codes = [value for value in vars(exit_codes).values() if type(value) is int]
    assert len(codes) > 5
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")] == [
        "code",
        *map(str, codes),
    ]
