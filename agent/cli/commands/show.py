"""``moonpool show``: what a run did and what came of it."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from agent.cli.arguments import Command, Given, Misuse, flag
from agent.cli.commands.runs import document_of
from agent.cli.setup import environment, exit_codes
from agent.cli.setup.options import RUN
from agent.errors import UsageError
from agent.record.events.wording import call_in_words
from agent.record.runs import RecordedRun, events_of, find
from agent.terminal.diff import print_patch
from agent.terminal.result import field, print_result
from agent.terminal.screen import Line, Screen, open_screen
from agent.untrusted_text import one_line, visible

_WORDS_WIDTH = 160
PATCH = flag("--patch", help="Print the patch itself.")
AS_JSON = flag("--json", help="The summary as a JSON object.")


def show(given: Given) -> int:
    """Print a run: for a person, as JSON, or its patch; gives the exit code."""
    if given[AS_JSON] and given[PATCH]:
        raise Misuse("Invalid value: --json names the patch's file: --patch does not go with it")
    run = find(environment.home(), given[RUN])
    if given[AS_JSON]:
        print(json.dumps(document_of(run), indent=2))
        return exit_codes.DONE
    out = open_screen(environment.environ())
    if given[PATCH]:
        _print_patch(out, Path(run.text("patch")))
        return exit_codes.DONE
    out.print(Line("run     ", "dim").append(run.id, "bold"))
    for label, key in (
        ("task", "task"),
        ("on", "workspace"),
        ("policy", "policy"),
        ("model", "model"),
        ("started", "started"),
    ):
        row = Line(f"{label:<8}", "dim").append(visible(run.text(key)), "default")
        out.print(row)
    _print_steps(out, run.directory)
    print_result(out, run, findings_limit=sys.maxsize)
    return exit_codes.DONE


def _print_steps(out: Screen, directory: Path) -> None:
    """The calls of the run, one to a line."""
    calls: dict[object, str] = {}
    for event in events_of(RecordedRun(id=directory.name, directory=directory, summary={})):
        kind = event.get("event")
        arguments = event.get("arguments")
        if kind in {"call_started", "call_refused"} and isinstance(arguments, dict):
            words = one_line(call_in_words(str(event.get("tool")), arguments), 160)
            calls[event.get("number")] = words
        if kind == "call_refused":
            what = f"{field(event, 'why')}: {calls.get(event.get('number'), '')}"
            out.print(Line(f"  ! {what}", "red"))
        elif kind == "call_ended":
            failed = bool(event.get("is_error")) or event.get("exit_code") not in {None, 0}
            row = Line("  ").append(calls.get(event.get("number"), ""))
            row.append(f"  {field(event, 'brief')}", "yellow" if failed else "dim")
            out.print(row)
        else:
            words = _of_its_person(event)
            if words:
                out.print(Line(f"  {words}", "bold"))


def _of_its_person(event: Mapping[str, object]) -> str:
    """What the person of a chat did, and how the model answered."""
    match event:
        case {"event": "user_message_added", "what": "request", "text": str() as text}:
            return f"> {one_line(text, _WORDS_WIDTH)}"
        case {"event": "request_awaited", "outcome": {"message": str() as text}} if (
            text != "nothing was asked"
        ):
            return f"< {one_line(text, _WORDS_WIDTH)}"
        case {"event": "workspace_restored", "call": call}:
            return f"the files went back to what they were after call {call}"
        case {"event": "patch_applied", "changes": [*changes], "directory": str() as directory}:
            return f"{len(changes)} files were applied to {one_line(directory)}"
        case _:
            return ""


def _print_patch(out: Screen, path: Path) -> None:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"this run has no patch to show: {path}: {error.strerror}") from error
    print_patch(out, data)


COMMAND = Command(
    show,
    (RUN, PATCH, AS_JSON),
    """

    Example: moonpool show last --patch
    """,
)
