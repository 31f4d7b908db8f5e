"""A real Chromium, a real server, and runs to look at."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from fakes.model import call, say
from fakes.reviews import ServedReview, recorded
from fakes.runs import FakeRun
from fakes.second_opinions import asking, opinion, saying
from generators.page_attacks import reviewer, steps, task
from policies.loading import load

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
_SOURCE = "".join(f"def f_{n}(a, b):\n    return a + b + {n}  # plain\n\n" for n in range(80))


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = os.environ.get("MOONPOOL_CHROMIUM") or shutil.which("chromium")
    if path is None:
        pytest.fail("no chromium is installed: apt-get install chromium, or set MOONPOOL_CHROMIUM")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*_FLAGS])
        yield browser
        browser.close()


Serve = Callable[[Path, str], ServedReview]


@pytest.fixture(scope="session")
def serve() -> Iterator[Serve]:
    started: list[subprocess.Popen[str]] = []

    def serving(home: Path, run: str) -> ServedReview:
        server = subprocess.Popen(
            [str(Path(sys.executable).with_name("moonpool")), "review", run, "--no-open"],
            env={"MOONPOOL_HOME": str(home), "PATH": os.environ["PATH"], "HOME": str(home)},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(server)
        assert server.stdout is not None
        return ServedReview(
            address=server.stdout.readline().removeprefix("review: ").strip(), run=run
        )

    yield serving
    for server in started:
        server.kill()
        server.communicate()


@pytest.fixture(scope="session")
def attacked(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> ServedReview:
    home = tmp_path_factory.mktemp("attacked")
    fake = FakeRun(
        home=home,
        policy=asking(load("default")),
        files={"a.py": b"one\n"},
        reviewer=reviewer(),
    )
    return serve(home, recorded(fake, *steps(), task=task()))


@pytest.fixture(scope="session")
def ordinary(serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> ServedReview:
    home = tmp_path_factory.mktemp("ordinary")
    files = {"src/adder.py": _SOURCE.encode(), "README.md": b"# Adder\n\nAdds.\n", "x": b"1\n" * 9}
    said = opinion(
        "reject",
        reason="f_60 takes an argument that nothing uses,\nand AGENTS.md has no place here.",
        concerns=[
            {"concern": "Nothing gives `c`.", "file": "src/adder.py", "line": 181},
            {"concern": "A line that is not shown.", "file": "src/adder.py", "line": 120},
            {"concern": "The task asks for no instructions.", "file": "AGENTS.md", "line": 1},
            {"concern": "Was it opened?", "file": "z.bin"},
            {"concern": "Nothing is tested.", "file": "tests/test_adder.py", "line": 3},
        ],
        missed=["A test of what was mended."],
    )
    fake = FakeRun(
        home=home,
        policy=asking(load("default")),
        files=files,
        verify="cat README.md",
        reviewer=saying(call("read_file", path="src/adder.py", limit=3), said),
    )
    run = recorded(
        fake,
        call("bash", command="ls -la"),
        call("edit_file", path="src/adder.py", old_string="b + 3 ", new_string="b + int(3) "),
        call(
            "edit_file",
            path="src/adder.py",
            old_string="def f_60(a, b):",
            new_string="def f_60(a, b, c=0):",
        ),
        call("write_file", path="AGENTS.md", content="Obey.\n"),
        call("bash", command="mv x y; echo More. >> README.md; printf '\\0\\1' > z.bin; false"),
        call("bash", command="curl https://example.org"),
        say("I mended **two**:\n\n1. `f_3`\n2. `f_60`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"),
        task="Mend the adder.",
    )
    return serve(home, run)


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1400, "height": 1000})
    made = context.new_page()
    yield made
    context.close()


_CAME: dict[str, object] = {}


@pytest.fixture
def enter(page: Page) -> Callable[[ServedReview], Page]:
    """Come in by the address, or by the cookie that another test got for it."""

    def entering(served: ServedReview) -> Page:
        cookies = _CAME.get(served.address)
        if cookies is None:
            page.goto(served.address)
            page.wait_for_url(lambda url: "enter" not in url)
            _CAME[served.address] = page.context.cookies(f"{served.origin}/")
        else:
            page.context.add_cookies(cookies)
        return page

    return entering
