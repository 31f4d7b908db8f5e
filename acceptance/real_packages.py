"""Packages that nobody here wrote, each with the policy that `moonpool init` proposes, unedited.

`make test-real` fetches the archives of `packages.yaml` by the ordinary clients, in a container, so
that no build script runs here. Of each, the suite runs plainly, by `docker run` of the same image
on the engine's bridge with the same commands, and sealed: a bug is planted, a scripted run sees the
suite fail and mends it, and a fresh container without network runs the suite on the patch. A row of
the table compares the two sides, test by test where one failed; a difference that `NAMED` does not
explain is the exit code 1. Names of packages as arguments: only those.
"""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import yaml

from agent.proposal.proposing import propose
from images import recipes
from images.build import ensure
from images.setup.registries import ask_here, registries
from policies.loading import load
from sandbox.engine.docker import Engine

MOONPOOL = str(Path(sys.executable).with_name("moonpool"))
AT_ONCE = 2
LIMIT_S = 1800

NAMED: Mapping[str, str] = {}
"""Why the sealed suite of a package may differ from the plain one."""

PLAIN = r"""
set -eu
install -d -o agent -g agent /workspace /opt/venv
exec setpriv --reuid=agent --regid=agent --init-groups --inh-caps=-all bash -euc '
export HOME=/home/agent PATH=/opt/venv/bin:$PATH
cd /workspace
tar xz --strip-components 1
{ %s
} >/tmp/set-up 2>&1 </dev/null || { tail -n 20 /tmp/set-up; exit 99; }
%s </dev/null 2>&1
'
"""
FETCH = {
    "pip": "cd /tmp; echo {name}=={version} --hash=sha256:{sha256} >r; "
    "pip download -q --no-deps --no-binary {name} --require-hashes -r r >&2; rm r; cat {name}-*.gz",
    "npm": "cd /tmp; npm pack -s {name}@{version} >&2; cat {name}-*.tgz",
}
IMAGES = {"pip": "python", "npm": "node"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A row of `packages.yaml`."""

    client: str
    name: str
    version: str
    sha256: str
    file: str
    good: str
    bad: str


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """What a runner printed at its end; equal where the same tests had the same outcomes."""

    counts: tuple[tuple[str, int], ...]
    failed: tuple[str, ...]

    @classmethod
    def of(cls, output: str) -> Self:
        text = re.sub(r"\x1b\[[0-9;]*m", "", output)
        lines = re.findall(r"(?m)^=* ?(\d+ [a-z, 0-9]+) in [0-9.]+s", text)
        found = re.findall(r"(\d+) (\w+)", lines[-1]) if lines else []
        found += re.findall(r"(?m)^ +(\d+) (passing|failing|pending)", text)
        found += [(n, word) for word, n in re.findall(r"(?m)^# (tests|pass|fail) +(\d+)", text)]
        counts = {word.removesuffix("s"): int(n) for n, word in found if "warning" not in word}
        failed = re.findall(r"(?m)^(?:FAILED|ERROR) (\S+)", text)
        return cls(tuple(sorted(counts.items())), tuple(sorted(set(failed))))

    def __str__(self) -> str:
        return ", ".join(f"{n} {word}" for word, n in self.counts) or "no result"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    package: Package
    plain: SuiteResult | None = None
    sealed: SuiteResult | None = None
    mended: bool = False
    problem: str = ""
    seconds: float = 0

    @property
    def good(self) -> bool:
        same = self.plain == self.sealed or self.package.name in NAMED
        return bool(not self.problem and self.plain and self.plain.counts and self.mended and same)


def plainly(
    image: str, client: str, script: str, given: bytes
) -> subprocess.CompletedProcess[bytes]:
    """`docker run` on the bridge, as anyone would, with this machine's registries."""
    answers = ask_here([client], os.environ)
    known = registries(client, answers[client], os.environ).variables if answers else {}
    authorities = "/etc/ssl/certs/ca-certificates.crt"
    known = {**known, "PIP_CERT": authorities, "NODE_EXTRA_CA_CERTS": authorities}
    words = [word for name, value in known.items() for word in ("-e", f"{name}={value}")]
    return subprocess.run(
        ["docker", "run", "--rm", "-i", "-u", "root", *words, image, "bash", "-c", script],
        input=given, capture_output=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip


def archive(package: Package, image: str) -> bytes:
    """The published archive, which has the hash that stands here."""
    command = FETCH[package.client].format(
        name=package.name, version=package.version, sha256=package.sha256
    )
    done = plainly(image, package.client, f"set -eu; {command}", b"")
    if done.returncode or hashlib.sha256(done.stdout).hexdigest() != package.sha256:
        raise ValueError(f"not fetched as pinned: {done.stderr.decode()[-500:]}")
    return done.stdout


def unpacked(data: bytes, folder: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        opened.extractall(folder, filter="data")
    return next(folder.iterdir())


def tried(package: Package, image: str, folder: Path) -> Row:
    """Both sides of one package."""
    begun = time.monotonic()
    data = archive(package, image)
    root = unpacked(data, folder / "source")
    policy = folder / "policy.yaml"
    subprocess.run(
        [MOONPOOL, "init", "-w", str(root), "-o", str(policy)], check=True, capture_output=True
    )
    verify = propose(root, images=frozenset(recipes.names())).verify or "false"
    rules = load(str(policy))
    commands = [*rules.setup.commands, *rules.setup.prepare]
    script = PLAIN % tuple(text.replace("'", "'\"'\"'") for text in ("\n".join(commands), verify))
    done = plainly(image, package.client, script, data)
    plain = SuiteResult.of(done.stdout.decode("utf-8", "replace"))
    if done.returncode == 99 or not plain.counts:
        said = (done.stdout + done.stderr).decode("utf-8", "replace")[-1500:]
        return Row(package=package, problem=f"plainly: {said}")
    print(f"  {package.name}: plainly {plain}", flush=True)

    source = root / package.file
    good = source.read_bytes()
    if good.count(package.good.encode()) != 1:
        return Row(package=package, problem=f"{package.file} does not hold the line once")
    source.write_bytes(good.replace(package.good.encode(), package.bad.encode()))
    run = scripted(package, root, policy, verify, folder)
    summary = json.loads(run.stdout.splitlines()[-1]) if run.stdout.startswith("{") else {}
    if summary.get("exit_code") not in (0, 1) or "run_id" not in summary:
        return Row(package=package, plain=plain, problem=(run.stderr or run.stdout)[-1500:])
    report = json.loads((folder / "home/runs" / summary["run_id"] / "run.json").read_text())
    output = str(report["verification"].get("output", ""))
    if not output:
        problem = f"{summary['outcome']}: {report['verification']} {run.stderr[-1000:]}"
        return Row(package=package, plain=plain, problem=problem)
    subprocess.run(["git", "apply", "-p1", summary["patch"]], cwd=root, check=False,
                   env={**os.environ, "GIT_CEILING_DIRECTORIES": str(root.parent)})  # fmt: skip
    return Row(
        package=package,
        plain=plain,
        sealed=SuiteResult.of(output),
        mended=source.read_bytes() == good,
        seconds=time.monotonic() - begun,
    )


def scripted(
    package: Package, root: Path, policy: Path, verify: str, folder: Path
) -> subprocess.CompletedProcess[str]:
    """A run that sees the suite fail and mends the file."""
    before = f"{verify} >/tmp/said 2>&1 || {{ tail -n 60 /tmp/said; echo suite fails; }}"
    edit = {"path": package.file, "old_string": package.bad, "new_string": package.good}
    turns = [
        {"text": "I run the suite.", "calls": [{"tool": "bash", "arguments": {"command": before}}]},
        {"expect": "suite fails", "calls": [{"tool": "edit_file", "arguments": edit}]},
        {"text": "The line is as it was."},
    ]
    script = folder / "script.yaml"
    script.write_text(yaml.safe_dump({"version": 1, "turns": turns}))
    return subprocess.run(
        [MOONPOOL, "run", "make the suite pass", "-w", str(root), "-p", str(policy),
         "-m", f"script:{script}", "--verify", verify, "--json"],
        capture_output=True, text=True, timeout=LIMIT_S, check=False, stdin=subprocess.DEVNULL,
        env={**os.environ, "MOONPOOL_HOME": str(folder / "home")},
    )  # fmt: skip


def attempted(package: Package, image: str, folder: Path) -> Row:
    try:
        return tried(package, image, folder)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return Row(package=package, problem=str(error)[-1500:])


def table(rows: Iterable[Row]) -> str:
    lines = [f"{'package':34} {'plain docker run':44} {'sealed, from init':44} mended"]
    for row in sorted(rows, key=lambda it: (it.package.client == "npm", it.package.name)):
        name = f"{row.package.name} {row.package.version}"
        mark = "yes" if row.mended else "NO"
        lines.append(f"{name:34} {row.plain!s:44} {row.sealed!s:44} {mark}")
        if row.problem:
            lines.append(f"    {row.problem}")
        if row.plain and row.sealed and row.plain != row.sealed:
            other = set(row.sealed.failed) ^ set(row.plain.failed)
            why = NAMED.get(row.package.name, "NOT NAMED")
            lines.append(f"    differs ({why}): {' '.join(sorted(other)) or 'in the counts'}")
    return "\n".join(lines)


def main(names: list[str]) -> int:
    rows = yaml.safe_load(Path(__file__).with_name("packages.yaml").read_text())
    packages = [Package(**row) for row in rows if not names or row["name"] in names]
    engine = Engine.connect(os.environ)
    clients = {package.client for package in packages}
    images = {
        client: ensure(engine, IMAGES[client], on_progress=print) for client in sorted(clients)
    }
    done: list[Row] = []
    with (
        tempfile.TemporaryDirectory(prefix="moonpool-real-") as folder,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        waiting = []
        for package in packages:
            place = Path(folder, package.name)
            (place / "source").mkdir(parents=True)
            waiting.append(pool.submit(attempted, package, images[package.client], place))
        for number, one in enumerate(as_completed(waiting), 1):
            row = one.result()
            done.append(row)
            mark = "as plainly" if row.good else f"NOT as plainly {row.problem[:800]}"
            print(
                f"{number}/{len(waiting)} {row.package.name}: {mark} ({row.seconds:.0f} s)",
                flush=True,
            )
    print("\n" + table(done))
    good = sum(row.good for row in done)
    print(f"{good} passed, {len(done) - good} failed")
    return 0 if good == len(done) and done else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
