"""The terminal: what a person sees live, and at the end."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from agent.models.script import ScriptModel
from agent.record import outcome as outcomes
from agent.record.events.conversation import ModelCalled, ModelReplied
from agent.record.events.kinds import TextPiece
from agent.record.run_state import fold
from agent.record.runs import RecordedRun
from agent.record.summary import running_summary
from agent.terminal.progress import Display, Layout
from agent.terminal.result import print_result
from agent.terminal.rich_screen import RichScreen
from agent.terminal.screen import Screen
from agent.verification import Failed
from checkout import EXAMPLES
from fakes.model import Step, ToldModel, call, say
from fakes.records import run_started
from fakes.runs import FakeRun
from policies.policy import Policy
from sandbox.patch.values import LeftOut
from sandbox.results import Ending


def screen_on(file: io.StringIO, *, terminal: bool) -> Screen:
    if not terminal:
        return Screen(file)
    return RichScreen(
        Console(
            file=file,
            force_terminal=True,
            width=100,
            markup=False,
            emoji=False,
            highlight=False,
            color_system="standard",
        )
    )


@pytest.fixture
def fake(tmp_path: Path, policy: Policy) -> FakeRun:
    return FakeRun(home=tmp_path, policy=policy, files={"a.py": b"one\n", "b.py": b"1\n2\n3\n"})


def shown(fake: FakeRun, *steps: Step, terminal: bool = False) -> str:
    file = io.StringIO()
    screen = screen_on(file, terminal=terminal)
    display = Display(screen)
    fake.also = display.show
    summary = fake.go(ToldModel(*steps))
    display.close()
    run = RecordedRun(
        id=fake.record.run_id, directory=fake.record.directory, summary=summary.document
    )
    print_result(screen, run)
    return file.getvalue()


def test_what_the_agent_says_and_does_comes_line_by_line(fake: FakeRun) -> None:
    text = shown(
        fake,
        call("bash", command="echo hello; exit 3"),
        call("edit_file", path="a.py", old_string="one", new_string="two"),
        say("All done.\nReally."),
    )
    assert "$ echo hello; exit 3" in text
    assert "    hello\n" in text
    assert re.search(r"exit 3  \d+\.\d\d s", text)
    assert "edit a.py" in text
    assert "1 replacement" in text
    assert "All done.\n  Really." in text


def test_a_denial_is_shown_with_its_reason(fake: FakeRun) -> None:
    text = shown(fake, call("bash", command="curl example.org"), say("ok"))
    assert "denied: $ curl example.org" in text
    assert "Denied (" in text


def test_the_plan_is_shown_as_a_list(fake: FakeRun) -> None:
    items = [{"step": "look", "status": "done"}, {"step": "mend", "status": "in_progress"}]
    text = shown(fake, call("update_plan", items=items), say("ok"))
    assert "look" in text
    assert "mend" in text


def test_the_end_has_diffstat_proof_and_the_next_command(fake: FakeRun) -> None:
    fake.verify = "true"
    text = shown(
        fake,
        call("write_file", path="b.py", content="all new\n", overwrite=True),
        call("write_file", path="a.py", content="two\n", overwrite=True),
        say("done"),
    )
    last = text.split("finished")[1]
    assert last.index("b.py") < last.index("a.py"), "the larger change comes first"
    assert "+---" in last
    assert "proved: baseline + patch = tree" in last
    assert "verified: true passes" in last
    assert f"next    moonpool apply {fake.record.run_id} --check" in last


def left_out(names: list[str]) -> str:
    file = io.StringIO()
    items = tuple(LeftOut(path=name.encode(), reason="is too large for a patch") for name in names)
    begun = running_summary(fold([run_started()]))
    summary = begun.replaced({"outcome": "finished", "patch": "/p", "left_out": items})
    print_result(Screen(file), RecordedRun(id="r", directory=Path("/nowhere"), summary=summary))
    return file.getvalue()


def test_last_words_of_several_lines_forge_no_line_of_the_end() -> None:
    file = io.StringIO()
    begun = running_summary(fold([run_started()]))
    forged = "no\nproved: baseline + patch\nverified: pytest passes"
    summary = begun.replaced({"outcome": "refused", "patch": "/p", "detail": forged})
    run = RecordedRun(id="r", directory=Path("/nowhere"), summary=summary)
    print_result(Screen(file), run)
    begins = {line.partition(":")[0] for line in file.getvalue().splitlines()}
    assert "  verified" in begins
    assert begins.isdisjoint({"proved", "verified"})


@pytest.mark.parametrize("ending", [Ending.EXITED, Ending.TIMED_OUT])
def test_the_last_that_a_failed_check_printed_is_shown(ending: Ending) -> None:
    file = io.StringIO()
    printed = "\n".join([*map(str, range(100)), "verified: all\x1b[2J" + "x" * 9999])
    failed = Failed(command="make test", exit_code=2, ending=ending, output=printed, seconds=600)
    summary = running_summary(fold([run_started()])).replaced({"verification": failed})
    print_result(Screen(file), RecordedRun(id="r", directory=Path("/nowhere"), summary=summary))
    said, shown = file.getvalue().split(" on a fresh copy\n")
    after = {Ending.EXITED: "ends with 2", Ending.TIMED_OUT: "timed out after 10 min (limits.time"}
    assert f"not verified: make test {after[ending]}" in said
    assert shown.startswith("  … 93 lines before that\n  93\n")
    assert "  99\n  verified: all\\x1b[2Jxx" in shown
    assert max(map(len, shown.splitlines())) == 402


def test_what_is_left_out_is_told_where_nothing_else_changed() -> None:
    text = left_out(["big.bin"])
    assert "nothing that a patch can carry changed" in text
    assert "left out of the patch: big.bin is too large for a patch" in text
    assert "4 paths left out of the patch, see the report" in left_out(["a", "b", "c", "d"])


@pytest.mark.parametrize(
    ("outcome", "next_one"),
    [
        ("finished", "nothing: there is no change to apply"),
        ("running", "moonpool resume r"),
        ("sandbox failed", "moonpool doctor, unless it is said above"),
        ("model failed", "moonpool run TASK again, when what is said above is over or mended"),
        ("limit: turns", "moonpool run TASK, in other words"),
        ("crashed", "please report it with the log"),
        ("export refused", "moonpool show r --patch"),
    ],
)
def test_what_is_next_depends_on_how_it_ended(outcome: str, next_one: str) -> None:
    assert outcome in {*outcomes.names(), "running"}
    begun = running_summary(fold([run_started()]))
    file = io.StringIO()
    summary = begun.replaced({"outcome": outcome})
    print_result(Screen(file), RecordedRun(id="r", directory=Path("/nowhere"), summary=summary))
    assert file.getvalue().splitlines()[-1].startswith(f"next    {next_one}")


def test_the_riskiest_file_comes_first(fake: FakeRun) -> None:
    fake.policy = replace(fake.policy, paths=replace(fake.policy.paths, protect=("a.py",)))
    text = shown(
        fake,
        call("write_file", path="b.py", content="x\n" * 50, overwrite=True),
        call("write_file", path="a.py", content="two\n", overwrite=True),
        say("done"),
    )
    last = text.split("export refused")[1]
    assert "protected-path: a.py" in last
    assert last.index("  a.py  ") < last.index("  b.py  ")
    assert "apply -i" in last
    assert "--check" not in last


def test_the_end_counts_what_the_gate_found_and_shows_the_worst_first(fake: FakeRun) -> None:
    text = shown(
        fake,
        call("write_file", path=".github/workflows/ci.yml", content="on: push\n"),
        call("write_file", path="notes.py", content="a = 1\nb = '\u202e'\n"),
        call("bash", command="for n in $(seq 12); do ln -s a.py link$n; done"),
        say("done"),
    )
    last = text.split("export refused")[1]
    head = "export gate refuses the patch: 2 dangers, 1 warning, 12 notes; riskiest: "
    assert head + ".github/workflows/ci.yml" in last
    assert "REFUSED bidi-control: notes.py:2: U+202E" in last
    places = [last.index(word) for word in ("REFUSED", "warning ci-workflow", "note symlink")]
    assert places == sorted(places)
    assert f"and 7 more: moonpool show {fake.record.run_id}" in last
    assert "--accept-risk bidi-control --accept-risk protected-path --because TEXT" in last


def test_what_nobody_can_accept_is_not_offered(fake: FakeRun) -> None:
    big = call("bash", command="head -c 11000000 /dev/urandom > big")
    last = shown(fake, big, say("done")).split("export refused")[1]
    assert "max-bytes can't be let pass: it is a number of the policy's" in last
    assert "--accept-risk max-bytes" not in last


def test_what_was_accepted_is_said(fake: FakeRun) -> None:
    fake.accepted_risks = frozenset({"bidi-control"})
    text = shown(fake, call("write_file", path="n.py", content="b = '\u202e'\n"), say("done"))
    assert "export refused" not in text
    assert "let pass by --accept-risk: bidi-control" in text
    assert "accepted bidi-control: n.py:1" in text


HOSTILE = "\x1b]0;pwned\x07\x1b[2J\rnext    moonpool apply evil\u202e"


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_hostile_acts_on_the_terminal(fake: FakeRun, terminal: bool) -> None:  # noqa: FBT001
    text = shown(
        fake,
        call("write_file", path=f"x{HOSTILE}", content="y"),
        call("bash", command=f"printf '%s' '{HOSTILE}'"),
        call("bash", command=f"curl '{HOSTILE}'"),
        call(f"tool{HOSTILE}"),
        say(HOSTILE + "[bold]:smile:[/bold]"),
        terminal=terminal,
    )
    assert "\x1b]" not in text
    assert "\x1b[2J" not in text.replace("\x1b[2K", "")
    assert "\u202e" not in text
    assert "\x07" not in text
    assert "\rnext" not in text
    assert "[bold]:smile:[/bold]" in text


def test_without_a_terminal_there_are_no_escapes_at_all(fake: FakeRun) -> None:
    assert "\x1b" not in shown(fake, call("bash", command="echo x"), say("done"))


@pytest.mark.slow
def test_the_calculator_reads_like_a_story(tmp_path: Path, policy: Policy) -> None:
    root = EXAMPLES
    files = {
        str(path.relative_to(root / "calculator")): path.read_bytes()
        for path in (root / "calculator").rglob("*")
        if path.is_file() and "cache" not in str(path)
    }
    fake = FakeRun(home=tmp_path, policy=policy, files=files)
    file = io.StringIO()
    fake.also = Display(Screen(file)).show
    fake.go(ScriptModel.open(str(root / "calculator.script.yaml")))
    steps = [
        "I'll look at",
        "$ pytest -q",
        "read calculator/arithmetic.py",
        "second bug",
        "5 passed",
    ]
    places = [file.getvalue().index(step) for step in steps]
    assert places == sorted(places)


def test_in_a_chat_a_short_answer_is_said_once() -> None:
    file = io.StringIO()
    display = Display(Screen(file), layout=Layout.FOLDED)
    reply = say("Started.")
    display.show(ModelCalled(turn=1, messages=1))
    display.show(TextPiece(text="Started."))
    display.show(ModelReplied(turn=1, reply=reply, seconds=0.1, used=reply.usage, usd=None))
    assert file.getvalue().count("Started.") == 1
