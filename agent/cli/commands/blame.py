"""``moonpool blame``."""

import json
import os
from dataclasses import asdict

from agent import exit_codes
from agent.cli.arguments import Command, Given, optional_argument
from agent.cli.options import AS_JSON, RUN
from agent.cli.past_run import OF_WORKSPACE, past_run
from agent.past_runs import blame as blame_lines
from agent.past_runs.blame import Blame, TracedFile
from agent.record.events.kinds import call_in_words
from agent.record.events.recorded import plain
from agent.record.runs import RecordedRun
from agent.untrusted_text import decode, one_line, path_text

_WORDS_WIDTH = 160
_UNKNOWN = "?"
PATH = optional_argument("PATH", "Only this file, or below this directory.")


def blame(given: Given) -> int:
    path = given[PATH]
    run = past_run(given)
    found = blame_lines.blame(run, path=None if path is None else os.fsencode(path))
    if given[AS_JSON]:
        print(json.dumps(_blame_document(run, found)))
    else:
        _print_blame(run, found)
    return exit_codes.DONE


def _print_blame(run: RecordedRun, found: Blame) -> None:
    if not found.files:
        print(f"run {one_line(run.id)} changed nothing")
    steps: set[int] = set()
    for traced in found.files:
        steps |= _print_traced(traced, found)
    _print_calls(found, steps)


def _print_traced(traced: TracedFile, found: Blame) -> set[int]:
    """Print one file; gives the steps that were named."""
    change = traced.change
    moved = f"{path_text(change.old_path)} -> " if change.old_path else ""
    print(f"{change.kind} {moved}{path_text(change.path)}")
    if change.old_mode and change.new_mode and change.old_mode != change.new_mode:
        print(f"  mode {change.old_mode:o} -> {change.new_mode:o}")
    steps = {step for hunk in traced.hunks or () for step in hunk.steps}
    if not steps:
        # Binary, or only moved, or only another mode: there are no lines to name somebody for.
        why = f" ({one_line(traced.why, _WORDS_WIDTH)})" if traced.why else ""
        print(f"  by {_name(found, traced.last)}{why}")
        return {traced.last}
    width = max(len(_name(found, step)) for step in steps)
    for hunk in traced.hunks or ():
        print(f"  @@ -{hunk.old_start} +{hunk.new_start} @@")
        for line in hunk.lines:
            name = _name(found, line.step)
            print(f"  {name:>{width}} {line.sign}{one_line(decode(line.text))}".rstrip())
    return steps


def _print_calls(found: Blame, steps: set[int]) -> None:
    """What the numbers mean."""
    numbers: set[int] = set()
    backgrounds: set[int] = set()
    for step in steps - {-1}:
        span = found.spans[step]
        numbers |= {number for number in range(span.first, span.last + 1) if number in found.calls}
        backgrounds |= set(span.backgrounds)
    if steps:
        print()
    for number in sorted(numbers | backgrounds):
        call = found.calls.get(number)
        words = call_in_words(call.tool, call.arguments) if call else "not in the record"
        after = "  (in the background: it may have written at any time after)"
        note = after if number in backgrounds else ""
        print(f"call {number}: {one_line(words, _WORDS_WIDTH)}{note}")
    if -1 in steps:
        print(f"{_UNKNOWN}: not followed; no look at the workspace tells who wrote it")
    for text in found.unfollowed:
        print(f"not followed: {one_line(text, _WORDS_WIDTH)}")


def _name(found: Blame, step: int) -> str:
    if step < 0:
        return _UNKNOWN
    span = found.spans[step]
    return str(span.first) if span.first == span.last else f"{span.first}-{span.last}"


def _blame_document(run: RecordedRun, found: Blame) -> dict[str, object]:
    def calls(step: int) -> object:
        return None if step < 0 else asdict(found.spans[step])

    files = [
        {
            "path": plain(traced.change.path),
            "old_path": plain(traced.change.old_path),
            "kind": traced.change.kind,
            "old_mode": traced.change.old_mode,
            "new_mode": traced.change.new_mode,
            "by": calls(traced.last),
            "why": traced.why,
            "hunks": None
            if traced.hunks is None
            else [
                {
                    "old_start": hunk.old_start,
                    "new_start": hunk.new_start,
                    "lines": [
                        {
                            "sign": line.sign,
                            "number": line.number,
                            "by": calls(line.step),
                            "text": plain(line.text),
                        }
                        for line in hunk.lines
                    ],
                }
                for hunk in traced.hunks
            ],
        }
        for traced in found.files
    ]
    words = {
        str(number): call_in_words(call.tool, call.arguments)
        for number, call in found.calls.items()
    }
    return {
        "run_id": run.id,
        "files": files,
        "calls": words,
        "unfollowed": list(found.unfollowed),
    }


COMMAND = Command(
    blame,
    (RUN, PATH, OF_WORKSPACE, AS_JSON),
    """

    Before each line stands the number of its call, or `?` where the run was not followed. Several
    calls as in 4-6 were looked at together: one of them wrote it.

    Example: moonpool blame last src/main.py
    """,
)
