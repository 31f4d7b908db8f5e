"""What a program reads: every line fits the schema that is printed, whatever happens to the run."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.errors import ModelBilling
from agent.record.events import schema as event_schema
from agent.record.events.kinds import KINDS
from agent.record.summary import RunSummary
from command_line.running import DONE, SCRIPT, SLEEP, Shell, Start, bash
from fakes.json_schema import fits
from fakes.model import ToldModel, call, calls, say
from fakes.runs import FakeRun
from policies.loading import load

SCHEMA = event_schema.schema(RunSummary)


def unfit(rows: list[dict[str, Any]]) -> list[str]:
    """Those that are none of the schema's, each by the kind it says it is."""
    kinds = {one["title"]: one for one in SCHEMA["oneOf"]}
    return [
        json.dumps(row)
        for row in rows
        if row["event"] not in kinds or not fits(row, kinds[row["event"]], SCHEMA)
    ]


def test_the_schema_is_what_the_command_prints(moonpool: Shell) -> None:
    done = moonpool("schema", "events")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads(json.dumps(SCHEMA))


def test_every_kind_is_described_or_speaks_for_itself_and_every_field_has_a_type() -> None:
    loose = {
        f"{one['title']}.{name}"
        for one in SCHEMA["oneOf"]
        for name, value in one["properties"].items()
        if value == {} and name != "event"
    }
    assert loose == set()
    titles = [one["title"] for one in SCHEMA["oneOf"]]
    assert len(set(titles)) == len(titles) == len(KINDS) + 1


def test_a_hostile_run_fits_the_schema_line_by_line(tmp_path: Path) -> None:
    fake = FakeRun(
        home=tmp_path, policy=load("default"), files={"calc.py": b"one\n"}, verify="false"
    )
    odd = calls(
        ("nope", {"x": [1, {"y": float("inf")}]}),
        ("bash", {"command": "printf '\\377'; exit 7"}),
        ("bash", {"command": "curl x"}),
        ("write_file", {"path": "bi\udc80g", "content": "x" * 300_000}),
        ("write_file", {"path": ".github/workflows/x.yml", "content": "on: push"}),
        ("update_plan", {"items": [{"step": "look", "status": "done"}]}),
    )
    summary = fake.go(ToldModel(odd, say("done")))
    rows = [json.loads(line) for line in fake.lines]
    rows.append({"event": "summary", **json.loads(json.dumps(summary.document.json_object()))})
    assert len({row["event"] for row in rows}) > 8
    assert unfit(rows) == []


def test_a_run_that_fails_fits_too(tmp_path: Path) -> None:
    fake = FakeRun(home=tmp_path, policy=load("default"))
    summary = fake.go(ToldModel(call("bash", command="true"), ModelBilling("402: top up")))
    rows = [json.loads(line) for line in fake.lines]
    rows.append({"event": "summary", **json.loads(json.dumps(summary.document.json_object()))})
    assert unfit(rows) == []


def test_a_wrong_line_does_not_fit() -> None:
    assert unfit([{"event": "notice", "seq": 0, "time": "x", "prev": "y", "text": 1}])
    assert unfit([{"event": "notice", "seq": 0, "time": "x", "prev": "y"}])
    assert unfit([{"event": "made_up"}])


def test_a_killed_and_resumed_run_fits_and_so_does_its_summary(start: Start) -> None:
    going = start(bash(SLEEP), {"expect": "look before", **bash("nope-at-all; ls")}, DONE)
    going.until("call_started")
    going.kill()
    done = going.moonpool("resume", "last", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"resumed", "summary"} <= {row["event"] for row in rows}
    assert unfit(going.rows + rows) == []
    (listed,) = map(json.loads, going.moonpool("runs", "--json").stdout.splitlines())
    shown = json.loads(going.moonpool("show", "last", "--json").stdout)
    assert shown == listed
    assert shown["outcome"] == "finished"
    assert Path(shown["directory"], "run.log").is_file()
    log = Path(shown["directory"], "run.log").read_text()
    assert "taken up by moonpool" in log


def test_runs_are_listed_for_a_program_where_there_are_none(moonpool: Shell) -> None:
    done = moonpool("runs", "--json")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.usefixtures("image")
def test_a_reader_that_leaves_changes_no_exit_code(moonpool: Shell, script: str) -> None:
    process = subprocess.Popen(
        [SCRIPT, "run", "x", "--json", "-m", script],
        cwd=moonpool.directory,
        env=moonpool.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert (process.wait(timeout=100), process.stderr.read()) == (0, "")
    process.stderr.close()
    assert json.loads(moonpool("show", "last", "--json").stdout)["outcome"] == "finished"


@pytest.mark.parametrize("arguments", [("run", " "), ("show", "nope"), ("resume", "nope")])
def test_where_there_is_no_run_nothing_is_on_standard_output(
    moonpool: Shell, arguments: tuple[str, ...]
) -> None:
    done = moonpool(*arguments, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("moonpool: ")
