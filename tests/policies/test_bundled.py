"""The policies that come with Moonpool do what they say, and fit the published schema."""

import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import pytest
import yaml

from images import recipes
from policies.decision import Allow, Call, Deny, decide
from policies.file.document import packaged, parse
from policies.file.schema import json_schema, render
from policies.loading import bundled_names, load
from policies.operator.check import run_examples


@pytest.mark.parametrize("name", bundled_names())
def test_the_examples_of_a_bundled_policy_hold(name: str) -> None:
    results = run_examples(load(name))
    assert len(results) >= 10
    assert [f"{r.command}: {r.got} {r.reason}" for r in results if not r.holds] == []


@pytest.mark.parametrize("name", bundled_names())
def test_a_policy_written_out_loads_as_the_same(name: str, tmp_path: Any) -> None:
    policy = load(name)
    (tmp_path / "p.yaml").write_text(render(policy))
    again = load(str(tmp_path / "p.yaml"))
    keys = ("image", "tools", "exec_workspace", "paths", "workspace", "env", "limits", "budget",
            "export", "examples")  # fmt: skip
    assert [getattr(again, key) for key in keys] == [getattr(policy, key) for key in keys]
    assert [(r.program, r.args, r.ask) for r in again.commands] == [
        (r.program, r.args, r.ask) for r in policy.commands
    ]


def test_the_default_leaves_out_what_reaches_the_network_or_names_programs() -> None:
    programs = {rule.program for rule in load("default").commands}
    assert not programs & {"curl", "wget", "ssh", "nc", "apt", "apt-get", "dpkg", "perl", "sudo"}
    rules = [rule for rule in load("default").commands if rule.program == "git"]
    permitted = {args for rule in rules for args in rule.args or ()}
    assert not {args[0] for args in permitted} & {"push", "fetch", "pull"}
    # Of these, what reads or stays on this machine.
    assert {args for args in permitted if args[0] in {"clone", "remote", "submodule"}} == {
        ("clone", "--local"),
        ("remote", "show"),
        ("remote", "get-url"),
        ("submodule", "status"),
        ("submodule", "summary"),
    }


def test_read_only_writes_nothing_and_runs_no_interpreter() -> None:
    policy = load("read-only")
    assert policy.paths.write == ()
    assert policy.exec_workspace is False
    programs = {rule.program for rule in policy.commands}
    assert not programs & {"python3", "pytest", "sh", "bash", "make", "gcc", "rm", "mv", "cp"}


def test_locked_runs_one_command() -> None:
    assert [rule.program for rule in load("locked").commands] == ["pytest"]


@pytest.mark.parametrize("name", ["python-tests", "node-tests"])
def test_what_runs_tests_runs_no_program_that_does_other_work(name: str) -> None:
    policy = load(name)
    programs = {rule.program for rule in policy.commands}
    assert not programs & {"git", "rm", "cp", "sh", "bash", "make", "gcc", "pip", "npx", "env"}
    interpreters = [r for r in policy.commands if r.program in {"python3", "python", "node", "npm"}]
    assert interpreters
    assert all(rule.args for rule in interpreters)
    assert policy.paths.write == (".",)


def test_each_bundled_policy_names_an_image_that_can_be_built() -> None:
    assert {load(name).image for name in bundled_names()} <= set(recipes.names())


@pytest.mark.parametrize("name", [*bundled_names(), "../unsaid"])
def test_a_bundled_file_fits_the_json_schema(name: str) -> None:
    text = (resources.files("policies") / "bundled" / f"{name}.yaml").read_text("utf-8")
    schema = json_schema()
    assert misfits(yaml.safe_load(text), schema, schema) == []


@pytest.mark.parametrize(
    "extra",
    [
        {"comands": []},
        {"limits": {"memory": 4}},
        {"commands": [{"program": "git", "arg": []}]},
        {"tools": ["shell"]},
        {"+tools": "bash"},
        {"paths": {"+writ": []}},
        {"version": 2},
    ],
)
def test_a_wrong_file_does_not_fit_the_json_schema(extra: dict[str, Any]) -> None:
    schema = json_schema()
    assert misfits({"version": 1, "name": "x", **extra}, schema, schema)


def test_the_json_schema_knows_the_signed_keys_of_lists() -> None:
    schema: Any = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"commands", "+commands", "-commands", "+tools"} <= schema["properties"].keys()
    assert "+exclude" in schema["$defs"]["WorkspaceEntry"]["properties"]
    assert not [name for name in schema["$defs"] if "Edit" in name]


def misfits(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[str]:
    """The part of draft 2020-12 that the schema uses; no validator is among the dependencies."""
    if "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return misfits(value, target, root)
    if "anyOf" in schema:
        found = [misfits(value, option, root) for option in schema["anyOf"]]
        return [] if [] in found else found[0]
    wrong = mismatches(value, schema)
    if wrong or not isinstance(value, list | dict):
        return wrong
    if isinstance(value, list):
        return [m for item in value for m in misfits(item, schema.get("items", {}), root)]
    properties = schema.get("properties", {})
    extra = schema.get("additionalProperties", True)
    wrong = [f"{key} is missing" for key in schema.get("required", ()) if key not in value]
    for key, item in value.items():
        if key not in properties and extra is False:
            wrong.append(f"{key} is unknown")
        else:
            wrong += misfits(item, properties.get(key, extra if extra is not True else {}), root)
    return wrong


def mismatches(value: Any, schema: Mapping[str, Any]) -> list[str]:
    kinds = {"object": dict, "array": list, "string": str, "integer": int, "number": int | float,
             "boolean": bool, "null": type(None)}  # fmt: skip
    kind = schema.get("type")
    if kind and not isinstance(value, kinds[kind]):
        return [f"{value!r} is no {kind}"]
    if "const" in schema and value != schema["const"]:
        return [f"{value!r} is not {schema['const']}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{value!r} is none of {schema['enum']}"]
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return [f"{value!r} does not match"]
    return []


@pytest.mark.parametrize(
    "name",
    [
        "unsaid.yaml",
        "options.yaml",
        "programs.yaml",
        *(f"bundled/{n}.yaml" for n in bundled_names()),
    ],
)
def test_the_parser_in_c_reads_our_own_files_as_the_strict_one_does(name: str) -> None:
    text = (resources.files("policies") / name).read_text("utf-8")
    assert packaged(name) == parse(text, file=name.rpartition("/")[2])


@pytest.mark.parametrize(
    ("name", "command", "expected"),
    [
        ("read-only", "git remote -v", "allow"),
        ("read-only", "git config core.autocrlf", "allow"),
        ("default", "git clone -q . /tmp/c", "allow"),
        ("python-tests", "python3 -W error -m pytest -q", "allow"),
        ("python-tests", "python3 -u -X dev -mpytest", "allow"),
        ("python-tests", "python -Bm unittest", "allow"),
        ("python-tests", "pytest -q | tee /tmp/out", "allow"),
        ("node-tests", "node --enable-source-maps --test", "allow"),
        ("read-only", "git remote -v add evil x", "deny"),
        ("read-only", "git config core.pager ./x", "deny"),
        ("default", "git config --global alias.x '!x'", "deny"),
        ("default", "git config --get-all", "allow"),
        ("default", "git clone https://example.org/x", "deny"),
        ("default", "git clone user@host:x", "deny"),
        ("default", "git clone . x --upload-pack=./x", "deny"),
        ("default", "git clone -c core.pager=x . y", "deny"),
        ("default", "git submodule update", "deny"),
        ("python-tests", "python3 -uc 'import os'", "deny"),
        ("python-tests", "python3 -W -m pytest", "deny"),
        ("python-tests", "python3 -W $x -m pytest", "deny"),
        ("python-tests", "python3 -m pip", "deny"),
        ("python-tests", "python3 -i -m pytest", "deny"),
        ("python-tests", "python3 -Xdev x.py -m pytest", "deny"),
    ],
)
def test_a_short_form_is_what_its_full_form_is(name: str, command: str, expected: str) -> None:
    decision = decide(load(name), Call(tool="bash", arguments={"command": command}))
    assert type(decision).__name__.lower() == expected


@pytest.mark.parametrize(
    "command",
    ["cd x; ../../usr/bin/curl", "cd x; ../..//usr/bin/curl", "cd x; .././../bin/nc", "../x/y",
     "cd /; usr/bin/curl", "cd /usr && ./bin/curl", "cd /usr/lib; ../local/bin/curl"],
)  # fmt: skip
def test_a_way_up_to_a_program_of_the_image_is_judged_as_that_program(command: str) -> None:
    decision = decide(load("default"), Call(tool="bash", arguments={"command": command}))
    assert isinstance(decision, Deny)


@pytest.mark.parametrize(
    "command",
    ["./git push", "env -C /usr/bin ./git push", "env -C / usr/bin/git push", "bin/../git push",
     "cd /usr/bin && sh -c './git push'", "cd /usr/bin; eval './git push'",
     "command cd /usr/bin; ./git push", "find /usr/bin -maxdepth 0 -execdir ./bin/git push \\;"],
)  # fmt: skip
def test_what_may_be_a_program_of_the_image_from_somewhere_else_is_said_to_be(command: str) -> None:
    """The shell's directory goes on to the next call, so that the text alone does not say it."""
    decision = decide(load("default"), Call(tool="bash", arguments={"command": command}))
    assert isinstance(decision, Allow)
    assert any("which file this is depends on the working directory" in it for it in decision.notes)


@pytest.mark.parametrize(
    "command", ["./git status", "./configure", "tools/git push", ".venv/bin/pip install x"]
)
def test_what_can_be_none_or_may_be_called_so_needs_no_word(command: str) -> None:
    decision = decide(load("default"), Call(tool="bash", arguments={"command": command}))
    assert isinstance(decision, Allow)
    assert decision.notes == ()
