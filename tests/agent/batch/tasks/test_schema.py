"""`moonpool schema tasks`, against files that are taken and files that are not."""

import json

from agent.batch.tasks.form import ENTRY_KEYS, json_schema
from command_line.running import Shell
from fakes.json_schema import fits

TASK = {"id": "a", "workspace": "repos/*", "task": "x", "budget": {"usd": 2.0, "time": "5m"}}
TAKEN: list[object] = [
    [TASK],
    {"tasks": [TASK], "defaults": {"model": "anthropic:x"}},
    [{"id": "a", "git": "x", "rev": "y", "image": "python", "path": "/app", "attempts": 3}],
]
REFUSED: list[object] = [{"defaults": {}}, [{**TASK, "colour": 1}], [{**TASK, "attempts": "3"}], 3]


def test_schema_fits_what_is_taken_and_nothing_else() -> None:
    schema = json_schema()
    assert [fits(value, schema, schema) for value in TAKEN] == [True, True, True]
    assert [fits(value, schema, schema) for value in REFUSED] == [False, False, False, False]


def test_command_prints_it(moonpool: Shell) -> None:
    done = moonpool("schema", "tasks")
    assert done.returncode == 0
    printed = json.loads(done.stdout)
    assert printed == json_schema()
    assert tuple(printed["$defs"]["TaskEntry"]["properties"]) == ENTRY_KEYS
