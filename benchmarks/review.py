"""What reviewing costs: the first paint of a large diff and of a long list, memory, the report.

In a real Chromium (`make test-browser` makes what it needs), each figure beside a small one of the
same kind; they take turns, and times are medians. Runs are real but for the model and the box.

    .venv-browser/bin/python -P benchmarks/review.py
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from playwright.sync_api import Browser, Page, sync_playwright  # noqa: E402 - by the path above

from agent.record.store import REPORT, runs_directory  # noqa: E402
from fakes.model import Step, call, calls, say  # noqa: E402
from fakes.reviews import ServedReview, recorded  # noqa: E402
from fakes.runs import FakeRun  # noqa: E402
from policies.loading import load  # noqa: E402

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
ROUNDS = 7
FILES, LINES = 300, 10_000
TURNS = 300
RUNS = 2_000
PAINT = """() => new Promise(done => {
  const look = () => {
    const found = performance.getEntriesByName("first-contentful-paint")[0];
    if (found) done(found.startTime); else setTimeout(look, 5);
  };
  look();
})"""


class Row(NamedTuple):
    what: str
    found: float
    at_most: float
    detail: str = ""


def fake(home: Path, files: dict[str, bytes]) -> FakeRun:
    return FakeRun(home=home, policy=load("default"), files=files)


def source(lines: int, *, mark: str = "") -> str:
    return "".join(
        f"    value_{n} = compute({n}, 'text {n}'){mark}  # of {n}\n" for n in range(lines)
    )


def large(home: Path) -> str:
    """10,000 changed lines in 300 files: half of them removed, half added."""
    each = LINES // FILES // 2
    files = {f"src/part_{n % 10}/module_{n}.py": source(60).encode() for n in range(FILES)}
    changed = source(each, mark=" + 1") + source(60)[len(source(each)) :]
    steps: list[Step] = []
    names = list(files)
    for start in range(0, FILES, 20):
        uses = [
            ("write_file", {"path": name, "content": changed, "overwrite": True})
            for name in names[start : start + 20]
        ]
        steps.append(calls(*uses))
    return recorded(fake(home, files), *steps, say("Done."))


def small(home: Path) -> str:
    """Ten changed lines in one file."""
    text = source(60)
    changed = source(5, mark=" + 1") + text[len(source(5)) :]
    written = call("write_file", path="a.py", content=changed, overwrite=True)
    return recorded(fake(home, {"a.py": text.encode()}), written, say("Done."))


def long(home: Path) -> tuple[int, int]:
    """Bytes of the report and the patch of a run of 300 turns."""
    run = fake(home, {"a.py": source(400).encode()})
    budget = replace(run.policy.budget, turns=TURNS + 10)
    run.policy = replace(run.policy, budget=budget)
    steps: list[Step] = [
        call("bash", command="cat a.py | head -c 6000")
        if turn % 3
        else call("write_file", path=f"made_{turn}.py", content=source(60))
        for turn in range(TURNS - 1)
    ]
    name = recorded(run, *steps, say("Done."))
    folder = runs_directory(home) / name
    return (folder / REPORT).stat().st_size, (folder / "patch.diff").stat().st_size


def many(home: Path, count: int) -> None:
    """So many runs, all like one that was made."""
    made = runs_directory(home) / small(home)
    for number in range(count - 1):
        name = f"20260101-{number // 3600:02}{number // 60 % 60:02}{number % 60:02}-{number:08x}"
        folder = made.with_name(name)
        folder.mkdir()
        shutil.copy(made / "patch.diff", folder)
        for file in ("run.json", "events.jsonl"):
            text = (made / file).read_text("utf-8").replace(made.name, name)
            (folder / file).write_text(text, "utf-8")


@contextmanager
def served(home: Path, wanted: str, browser: Browser) -> Iterator[tuple[ServedReview, Page, int]]:
    """A server, a page that came in, and the server's process."""
    command = [str(Path(sys.executable).with_name("moonpool")), "review", wanted, "--no-open"]
    environ = {"MOONPOOL_HOME": str(home), "PATH": os.environ["PATH"], "HOME": str(home)}
    server = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().removeprefix("review: ").strip()
        page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        page.goto(address)
        page.wait_for_url(lambda url: "enter" not in url)
        yield ServedReview(address=address, run=wanted), page, server.pid
        page.context.close()
    finally:
        server.kill()
        server.communicate()


def first_paint_ms(page: Page, address: str) -> float:
    page.goto("about:blank")  # what was there before is not part of it
    page.goto(address, wait_until="commit")
    return float(page.evaluate(PAINT))


def compared(places: list[tuple[Page, str]]) -> list[float]:
    """The median first paint of each, in turns, milliseconds."""
    found: list[list[float]] = [[] for _ in places]
    for page, address in places:
        first_paint_ms(page, address)
    for _ in range(ROUNDS):
        for times, (page, address) in zip(found, places, strict=True):
            times.append(first_paint_ms(page, address))
    return [statistics.median(times) for times in found]


def resident_mib(pid: int) -> float:
    """Memory of a process and those it started; of what is shared with others, its part."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    total = 0
    for one in (str(pid), *children):
        rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        total += int(re.findall(r"^Pss:\s+(\d+)", rollup, re.MULTILINE)[0])
    return total / 1024


def rows(scratch: Path, browser: Browser) -> Iterator[Row]:
    homes = {name: scratch / name for name in ("large", "small", "many", "few", "long")}
    for home in homes.values():
        home.mkdir()
    runs = large(homes["large"]), small(homes["small"])
    with (
        served(homes["large"], runs[0], browser) as (big, page, pid),
        served(homes["small"], runs[1], browser) as (little, other, _),
    ):
        times = compared([(page, big.of("/diff")), (other, little.of("/diff"))])
        yield Row(
            f"first paint: {LINES:,} lines in {FILES} files / 10 lines",
            times[0] / times[1],
            1.5,
            f"{times[0]:.0f} and {times[1]:.0f} ms",
        )
        page.goto(big.of("/diff"))
        page.evaluate("allCards")
        page.evaluate("Promise.all(all('.lines-later').map(fetchLines))")
        page.evaluate("askWhy(one('table.diff .add'))")
        page.wait_for_selector(".why-row", state="attached")
        yield Row("memory of the server, every file opened, MiB", resident_mib(pid), 80)
    many(homes["many"], RUNS)
    many(homes["few"], 20)
    with (
        served(homes["many"], str(homes["many"]) + "/", browser) as (all_runs, page, pid),
        served(homes["few"], str(homes["few"]) + "/", browser) as (few, other, _),
    ):
        times = compared([(page, f"{all_runs.origin}/runs"), (other, f"{few.origin}/runs")])
        detail = f"{times[0]:.0f} and {times[1]:.0f} ms"
        yield Row(f"list shown: {RUNS:,} runs / 20", times[0] / times[1], 2, detail)
        yield Row(f"memory of the server with {RUNS:,} runs, MiB", resident_mib(pid), 80)
    report, patch = long(homes["long"])
    allowed = (1 << 20) + 1.5 * patch
    detail = f"{report:,} bytes, patch {patch:,}"
    yield Row(f"report.html of {TURNS} turns / (1 MiB + 1.5 patch)", report / allowed, 1, detail)


def main() -> int:
    path = os.environ.get("MOONPOOL_CHROMIUM") or shutil.which("chromium")
    missed = 0
    with sync_playwright() as driver, tempfile.TemporaryDirectory() as scratch:
        browser = driver.chromium.launch(executable_path=path, args=[*FLAGS])
        for row in rows(Path(scratch), browser):
            missed += row.found > row.at_most
            print(
                f"{row.what:<62} {row.found:>7.2f}  at most {row.at_most:g}  {row.detail}",
                flush=True,
            )
        browser.close()
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
