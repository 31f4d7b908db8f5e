"""``moonpool show``: what a run did and what came of it."""

# Imports stand where they are needed, so that a command loads no SDK it does not use; and this is
# the terminal, where printing is the point.

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.commands.runs import _WORDS_WIDTH, console
from agent.cli.setup import environment, exit_codes
from agent.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console


def show(wanted: str, *, patch: bool) -> int:
    from rich.text import Text

    from agent.record.runs import find
    from agent.terminal.result import print_result
    from agent.untrusted_text import visible

    run = find(environment.home(), wanted)
    out = console()
    if patch:
        _print_patch(out, Path(run.text("patch")))
        return exit_codes.DONE
    out.print(Text("run     ", "dim").append(run.id, "bold"))
    for label, key in (
        ("task", "task"),
        ("on", "workspace"),
        ("policy", "policy"),
        ("model", "model"),
        ("started", "started"),
    ):
        row = Text(f"{label:<8}", "dim").append(visible(run.text(key)), "default")
        out.print(row, soft_wrap=True)
    _print_steps(out, run.directory)
    print_result(out, run, findings_limit=sys.maxsize)
    return exit_codes.DONE


def _print_steps(out: "Console", directory: Path) -> None:
    """The calls of the run, one to a line."""
    from rich.text import Text

    from agent.record.events.wording import call_in_words
    from agent.record.runs import RecordedRun, events_of
    from agent.terminal.result import field
    from agent.untrusted_text import one_line

    calls: dict[object, str] = {}
    for event in events_of(RecordedRun(id=directory.name, directory=directory, summary={})):
        kind = event.get("event")
        arguments = event.get("arguments")
        if kind in {"call_started", "call_refused"} and isinstance(arguments, dict):
            words = one_line(call_in_words(str(event.get("tool")), arguments), 160)
            calls[event.get("number")] = words
        if kind == "call_refused":
            what = f"{field(event, 'why')}: {calls.get(event.get('number'), '')}"
            out.print(Text(f"  ! {what}", "red"), soft_wrap=True)
        elif kind == "call_ended":
            failed = bool(event.get("is_error")) or event.get("exit_code") not in {None, 0}
            row = Text("  ").append(calls.get(event.get("number"), ""))
            row.append(f"  {field(event, 'brief')}", "yellow" if failed else "dim")
            out.print(row, soft_wrap=True)
        else:
            words = _of_its_person(event)
            if words:
                out.print(Text(f"  {words}", "bold"), soft_wrap=True)


def _of_its_person(event: Mapping[str, object]) -> str:
    """What the person of a chat did, and how the model answered."""
    from agent.untrusted_text import one_line

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


def _print_patch(out: "Console", path: Path) -> None:
    from agent.terminal.diff import print_patch

    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"this run has no patch to show: {path}: {error.strerror}") from error
    print_patch(out, data)
