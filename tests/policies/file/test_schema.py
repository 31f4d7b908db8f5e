"""A policy file is read strictly, and every complaint says where it is and what to write."""

import re
from pathlib import Path
from typing import Any

import pytest

from checkout import ROOT
from policies.errors import PolicyError
from policies.file.keys import KEYS
from policies.file.schema import json_schema
from policies.loading import bundled_names, load

HEAD = "version: 1\nname: x\n"


def complaint(tmp_path: Path, text: str | bytes) -> PolicyError:
    file = tmp_path / "p.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(PolicyError) as caught:
        load(str(file))
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "column", "key", "says"),
    [
        ("comands: [ls]", 3, 1, "comands", "did you mean `commands`?"),
        ("limits: {memroy: 1GiB}", 3, 10, "limits.memroy", "did you mean `memory`?"),
        ("limits:\n  memory: 4", 4, 11, "limits.memory", "expected a size with its unit"),
        ("limits: {time: 30}", 3, 16, "limits.time", "expected a duration with its unit"),
        ("limits: {time: 30 m}", 3, 16, "limits.time", "such as 2m"),
        ("limits: {pids: 10.5}", 3, 16, "limits.pids", "a whole number"),
        ("limits: {cpus: 0}", 3, 16, "limits.cpus", "more than 0"),
        ("limits: {cpus: true}", 3, 16, "limits.cpus", "expected a number"),
        ("commands: ls", 3, 11, "commands", "expected a list"),
        ("commands: [ls, 3]", 3, 16, "commands[1]", "expected a mapping, got 3"),
        ("commands: [{program: true}]", 3, 22, "commands[0].program", "write it in quotes"),
        ("commands: [{args: [[a]]}]", 3, 12, "commands[0].program", "is missing"),
        ("commands: [{program: ls, arg: []}]", 3, 26, "commands[0].arg", "did you mean `args`?"),
        ("commands: [{program: git, args: [status]}]", 3, 34, "commands[0].args[0]", "a list"),
        ("commands: [{program: git, args: [[]]}]", 3, 34, "commands[0].args[0]", "is empty"),
        ("commands: [{program: git, args: [status]}]", 3, 34, "commands[0].args[0]", "[status]"),
        ("commands: [{program: a, forbid: f}]", 3, 33, "commands[0].forbid", "a list, got 'f'"),
        ("commands: [{program: a, forbid: [force]}]", 3, 34, "commands[0].forbid[0]", "no flag"),
        ("commands: [{program: a, forbid: [-]}]", 3, 34, "commands[0].forbid[0]", "such as"),
        ("commands: [{program: a, forbid: [--]}]", 3, 34, "commands[0].forbid[0]", "such as"),
        ("commands: [{program: a, forbid: [--a=b]}]", 3, 34, "commands[0].forbid[0]", "`--a`"),
        ("commands: [{program: a, forbid: ['-a b']}]", 3, 34, "commands[0].forbid[0]", "such as"),
        ("commands: [{program: a, forbid: [-9]}]", 3, 34, "commands[0].forbid[0]", "in quotes"),
        ("commands: [{program: a, require: true}]", 3, 34, "commands[0].require", "a list"),
        ("commands: [{program: a, requires: [-a]}]", 3, 25, "commands[0].requires", "`require`"),
        ("commands: [{program: a, forbid: [-a], require: [-a]}]", 3, 12, "commands[0]", "as -a is"),
        ("commands: [git status]", 3, 12, "commands[0].program", "arguments go into args"),
        ("commands: [./x]", 3, 12, "commands[0].program", "exec_workspace"),
        ("commands: [/usr/../bin/ls]", 3, 12, "commands[0].program", "normal form"),
        ("tools: [bash, shell]", 3, 15, "tools[1]", "is not one of"),
        ("tools: [reed_file]", 3, 9, "tools[0]", "did you mean read_file?"),
        ("exec_workspace: yes", 3, 17, "exec_workspace", "true or false"),
        ("paths: {write: [../x]}", 3, 17, "paths.write[0]", "`..` would leave the workspace"),
        ("paths: {write: ['src/*']}", 3, 17, "paths.write[0]", "no patterns here"),
        ("paths: {write: [~/x]}", 3, 17, "paths.write[0]", "`~` is not expanded"),
        ("paths: {protect: ['']}", 3, 19, "paths.protect[0]", "matches nothing"),
        ("workspace: {history: some}", 3, 22, "workspace.history", "'full' or 'head' or 'none'"),
        ("export: {refuse: [protected]}", 3, 19, "export.refuse[0]", "protected-path"),
        ("env: {PATH: /tmp}", 3, 7, "env.PATH", "which file a program's name leads to"),
        ("env: {LD_PRELOAD: x}", 3, 7, "env.LD_PRELOAD", "which file"),
        ("env: {BASH_ENV: x}", 3, 7, "env.BASH_ENV", "runs text before"),
        ("env: {ANTHROPIC_API_KEY: x}", 3, 7, "env.ANTHROPIC_API_KEY", "never enter the container"),
        ("env: {A: 1}", 3, 10, "env.A", "write it in quotes"),
        ("image: a b", 3, 8, "image", "plain name"),
        ("image: a/../b", 3, 8, "image", "plain name"),
        ("image: -it", 3, 8, "image", "plain name"),
        ("+image: python", 3, 1, "+image", "only lists take `+` and `-`"),
        ("commands: [ls]\n+commands: [cat]", 4, 1, "+commands", "nothing for `+commands`"),
        ("-commands: [ls]", 3, 13, "-commands[0]", "is not in the list"),
        ("tools: [bash]\ntools: []", 4, 1, "tools", "there already, in line 3"),
        ("tools:", 3, 7, "tools", "an empty one is `[]`"),
        ("tools: &a [bash]", 3, 8, "tools", "anchors are not used"),
        ("tools: *a", 3, 8, "tools", "aliases are not used"),
        ("tools: !!python/object:os.system []", 3, 8, "tools", "tags"),
        ("<<: {a: 1}", 3, 1, "", "merge keys"),
        ("? [a]\n: 1", 3, 3, "", "a key must be a plain word"),
        ("tools:\n\t- bash", 4, 1, "", "a tab can't indent YAML"),
        ("tools: [bash", 3, 8, "", "not YAML"),
        ("--- \nversion: 1", 3, 1, "", "one document"),
        ("budget: {usd: 0}", 3, 15, "budget.usd", "more than 0"),
        ("review: {require: yes}", 3, 19, "review.require", "approve"),
        ("review: {require: reject}", 3, 19, "review.require", "approve"),
        ("review: {model: gpt}", 3, 17, "review.model", "`PROVIDER:NAME`"),
        ('review: {model: "a:b\\nc"}', 3, 17, "review.model", "`PROVIDER:NAME`"),
        ("review: {reviewer: a:b}", 3, 10, "review.reviewer", "unknown key"),
        ("setup: {network: ['https://x']}", 3, 19, "setup.network[0]", "a host name"),
        ("setup: {network: [10.0.0.1]}", 3, 19, "setup.network[0]", "not an address"),
        ("setup: {network: [0x7f.1]}", 3, 19, "setup.network[0]", "not an address"),
        ("setup: {network: [pypi]}", 3, 19, "setup.network[0]", "neither a full host name nor"),
        ("setup: {network: ['*']}", 3, 19, "setup.network[0]", "a host name"),
        ("setup: {network: ['*.*.org']}", 3, 19, "setup.network[0]", "a host name"),
        ("setup: {secrets: [ANTHROPIC_API_KEY]}", 3, 19, "setup.secrets[0]", "models' keys"),
        ("setup: {secrets: [LD_PRELOAD]}", 3, 19, "setup.secrets[0]", "decides what runs"),
        ("setup: {secrets: ['A B']}", 3, 19, "setup.secrets[0]", "not the name"),
        ("setup: {cooldown: 7}", 3, 19, "setup.cooldown", "with its unit"),
        ("setup: {as_root: 1}", 3, 18, "setup.as_root", "true or false"),
        ("servants: [{name: db}]", 3, 1, "servants", "unknown key"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_where_and_why(  # noqa: PLR0917 - a row of the table above
    tmp_path: Path, text: str, line: int, column: int, key: str, says: str
) -> None:
    error = complaint(tmp_path, HEAD + text + "\n")
    assert says in error.message
    assert (error.where.line, error.key) == (line, key)
    assert abs(error.where.column - column) <= 1
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "this file is empty"),
        ("- a\n", "a policy is a mapping"),
        ("name: x\n", "starts with `version: 1`"),
        ("version: 2\nnonsense: 1\n", "reads version 1, not 2"),
        ("version: true\nname: x\n", "reads version 1, not true"),
        ("version: 1\n", "is missing"),
        (b"version: 1\nname: \xff\n", "is not UTF-8"),
        ("version: 1\nname: x\ncommands: [ls] # \u2067, curl]\u2069\n", "U+2067 shows"),
        (b"version: 1\nname: \x00\n", "a character that YAML does not allow"),
        ("a: " + "[" * 60 + "]" * 60, "nested deeper"),
        ("# " + "x" * 200_000, "larger than"),
    ],
)
def test_what_is_no_policy_at_all_is_told_so(tmp_path: Path, text: str | bytes, says: str) -> None:
    assert says in complaint(tmp_path, text).message


def test_all_complaints_of_a_file_come_at_once_in_its_order(tmp_path: Path) -> None:
    error = complaint(tmp_path, HEAD + "tool: []\nlimits: {pids: x}\nexec_workspace: 1\n")
    assert [e.key for e in (error, *error.others)] == ["tool", "limits.pids", "exec_workspace"]


def test_a_file_that_is_not_there_or_no_file_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no such file"):
        load(str(tmp_path / "none.yaml"))
    with pytest.raises(PolicyError, match="is not a file"):
        load(f"{tmp_path}/")
    with pytest.raises(PolicyError, match="no policy 'nope'; bundled: c, default"):
        load("nope")


def test_a_parent_that_is_not_there_is_told_where_it_is_named(tmp_path: Path) -> None:
    error = complaint(tmp_path, HEAD + "extends: none.yaml\n")
    assert (error.where.line, error.key) == (3, "extends")
    assert f"there is no file {tmp_path / 'none.yaml'}" in error.message


def test_a_plain_name_is_never_looked_for_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(HEAD)
    (tmp_path / "default.yaml").write_text(HEAD)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolicyError):
        load("mine")
    assert load("default").name == "default"


def test_an_operators_folder_adds_names_and_shadows_none(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("version: 1\nname: mine\nextends: locked\n")
    (tmp_path / "locked.yaml").write_text("version: 1\nname: not-locked\n")
    assert load("mine", directory=tmp_path).commands == load("locked").commands
    assert load("locked", directory=tmp_path).name == "locked"


def test_what_is_not_said_permits_nothing_and_protects(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(HEAD)
    policy = load(str(file))
    assert (policy.tools, policy.commands, policy.paths.write) == ((), (), ())
    assert policy.exec_workspace is False
    assert ".env" in policy.workspace.secrets
    assert "protected-path" in policy.export.refuse


def test_values_are_decoded_with_their_units(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        HEAD + "limits: {memory: 1.5GiB, output: 64KiB, command_timeout: 90s, time: 2h, cpus: 2}\n"
        "commands: ['yes', {program: git, args: [[status]], ask: true},"
        " {program: x, forbid: [--a-b, -f, +x, -exec, '-9'], require: [-n]}]\n"
    )
    policy = load(str(file))
    assert policy.limits.memory_bytes == 3 * 2**29
    assert policy.limits.output_bytes == 65536
    assert (policy.limits.command_timeout_s, policy.limits.time_s) == (90.0, 7200.0)
    assert policy.commands[1].args == (("status",),)
    assert (policy.commands[1].ask, policy.commands[1].where.line) == (True, 4)
    assert policy.commands[1].key == "commands[1]"
    assert policy.commands[2].forbid == ("--a-b", "-f", "+x", "-exec", "-9")
    assert policy.commands[2].require == ("-n",)
    assert policy.commands[1].forbid == policy.commands[1].require == ()


def test_the_bundled_ones_are_there() -> None:
    assert bundled_names() == (
        "c", "default", "evals", "go", "java", "locked", "node", "node-tests", "polyglot",
        "python-tests", "read-only", "rust",
    )  # fmt: skip


@pytest.mark.parametrize("text", ["setup: {}", "setup: {commands: [], +network: []}"])
def test_an_empty_set_up_asks_for_nothing_and_is_taken(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.yaml").write_text(HEAD + text + "\n")
    assert load(str(tmp_path / "p.yaml")).setup.commands == ()


def test_every_key_is_heeded_somewhere_or_refused() -> None:
    """A key that is taken and does nothing would let a policy promise what nobody keeps."""
    apart = ("policies/file/", "policies/operator/")
    text = "".join(
        file.read_text("utf-8")
        for room in ("agent", "sandbox", "images", "policies")
        for file in (ROOT / room).rglob("*.py")
        if not str(file.relative_to(ROOT)).startswith(apart)
    )
    unheard = [
        key.path
        for key in KEYS
        if not re.search(rf"{key.section or 'policy'}\.{key.field.rpartition('.')[2]}\b", text)
    ]
    assert unheard == []


def test_every_key_but_version_and_name_says_what_it_means() -> None:
    """docs/policy-reference.md and editors show it."""
    schema: Any = json_schema()
    silent = [
        (entry, key)
        for entry, found in (("", schema), *schema["$defs"].items())
        for key, value in found.get("properties", {}).items()
        if key[0] not in "+-" and not ({"description", "$ref"} & value.keys())
    ]
    assert silent == [("", "version"), ("", "name"), ("ServiceEntry", "name")]
