"""Nothing exceeds a ceiling: what holds is what the policy and the ceiling both allow."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from policies.decision import Allow, Ask, Call, Decision, Deny, decide
from policies.errors import PolicyError
from policies.file.schema import render
from policies.loading import load, loads
from policies.operator.ceiling import load_ceiling, under
from policies.operator.diff import more
from policies.policy import TOOLS, History, Policy

POLICY = """version: 1
name: wide
tools: [bash, read_file, write_file, edit_file, list_dir]
commands:
  - ls
  - python3
  - {program: git, args: [[status], [push], [stash]]}
  - {program: rm, ask: true}
exec_workspace: true
paths: {write: [.], protect: [a]}
workspace: {exclude: [.env.*, "!.env.example"], history: full}
env: {A: "1", B: "2"}
limits: {memory: 4GiB, pids: 100, time: 10m}
budget: {turns: 10}
export: {refuse: [secret], ignore: [out/, build/], include: [dist/]}
"""

Make = Callable[..., Policy]


@pytest.fixture
def bounded(tmp_path: Path) -> Make:
    """The policy under ceilings of these texts."""

    def make(*texts: str, policy: str = POLICY) -> Policy:
        (tmp_path / "policy.yaml").write_text(policy)
        ceilings = []
        for number, text in enumerate(texts):
            file = tmp_path / f"ceiling{number}.yaml"
            file.write_text(f"version: 1\nname: top{number}\n{text}\n")
            ceilings.append(load_ceiling(str(file)))
        return under(load(str(tmp_path / "policy.yaml")), ceilings)

    return make


def bash(policy: Policy, command: str) -> Decision:
    return decide(policy, Call(tool="bash", arguments={"command": command}))


def test_a_ceiling_that_says_nothing_bounds_nothing(bounded: Make) -> None:
    alone, under_it = bounded(), bounded("")
    assert render(under_it) == render(alone)
    assert alone.narrowed is None
    assert "narrows policy wide: nothing" in (under_it.narrowed or "")
    for command in ("ls -l", "git push", "python3 x.py", "./x", "rm a", "curl x"):
        assert bash(under_it, command) == bash(alone, command)


@pytest.mark.parametrize(
    ("text", "command", "expected"),
    [
        ("commands: []", "ls", Deny),
        ("commands: [ls]", "ls", Allow),
        ("commands: [ls]", "python3 x", Deny),
        ("commands: [ls, curl]", "curl x", Deny),
        ("commands: [{program: git, args: [[push, origin], [status]]}]", "git status", Allow),
        ("commands: [{program: git, args: [[push, origin], [status]]}]", "git push origin", Allow),
        ("commands: [{program: git, args: [[push, origin], [status]]}]", "git push else", Deny),
        ("commands: [{program: git, args: [[push, origin], [status]]}]", "git stash", Deny),
        ("commands: [{program: ls, args: []}]", "ls", Deny),
        ("commands: [git]", "git status", Allow),
        ("commands: [git]", "git commit", Deny),
        ("commands: [{program: ls, ask: true}]", "ls", Ask),
        ("commands: [rm]", "rm x", Ask),
        ("commands: [/usr/bin/ls]", "/usr/bin/ls", Allow),
        ("commands: [/usr/bin/ls]", "ls", Deny),
        ("commands: [/opt/x/ls]", "/usr/bin/ls", Deny),
        ("commands: [ls]", "ls; ls | xargs python3", Deny),
        ("exec_workspace: false", "./x", Deny),
        ("exec_workspace: false", "ls", Allow),
        ("tools: [read_file]", "ls", Deny),
        ("tools: []", "ls", Deny),
        ("paths: {write: [src]}", "echo > /workspace/docs/x", Deny),
        ("paths: {write: [src]}", "echo > /workspace/src/x", Allow),
    ],
)
def test_a_command_needs_both(bounded: Make, text: str, command: str, expected: type) -> None:
    assert isinstance(bash(bounded(text), command), expected)


def test_a_refusal_names_the_one_that_refuses(bounded: Make) -> None:
    policy = bounded("commands:\n  - ls\n  - {program: git, args: [[status]]}")
    for command, place in (
        ("python3 x", "ceiling0.yaml:4 commands"),
        ("git push", "ceiling0.yaml:5 commands[1] (git)"),
    ):
        denied = bash(policy, command)
        assert isinstance(denied, Deny)
        assert denied.rule.endswith(place) or place in denied.rule
        assert denied.reason.startswith("the operator's ceiling does not allow it: ")
    by_policy = bash(policy, "git commit")
    assert isinstance(by_policy, Deny)
    assert "policy.yaml:7" in by_policy.rule
    assert "ceiling" not in by_policy.reason
    assert by_policy.reason.endswith("with git may stand status")


def test_the_model_is_told_only_what_both_allow(bounded: Make) -> None:
    denied = bash(bounded("commands: [ls, curl]"), "make")
    assert isinstance(denied, Deny)
    assert "allowed programs: ls" in denied.reason
    assert "python3" not in denied.reason


def test_the_value_itself_is_narrow(bounded: Make) -> None:
    """Whoever reads a field of the policy, and asks nobody, still stays below."""
    policy = bounded(
        "tools: [bash, delete_file]\ncommands: [ls]\nexec_workspace: false\n"
        "paths: {write: [src, /opt/x], read: [docs], protect: [b]}\n"
        "workspace: {exclude: ['*.sqlite'], history: head, max_bytes: 1MiB}\n"
        "setup: {network: [], commands: []}\nenv: {A: '1', B: '3'}\n"
        "limits: {cpus: 1, memory: 2GiB, pids: 500, disk: 1GiB, time: 5m, output: 1KiB}\n"
        "budget: {turns: 5, usd: 1, input_tokens: 10}\n"
        "export: {max_bytes: 1KiB, refuse: [binary], ignore: [out/, else/],"
        " include: [dist/, '!dist/x', else/]}"
    )
    assert policy.tools == ("bash",)
    assert [rule.program for rule in policy.commands] == ["ls"]
    assert policy.exec_workspace is False
    assert policy.paths.write == ("src",)
    assert policy.paths.read == ("docs", "src", "/opt/x")
    assert policy.paths.protect == ("a", "b")
    assert policy.workspace.exclude == (".env.*", "!.env.example", "*.sqlite")
    assert policy.workspace.history is History.HEAD
    assert policy.workspace.max_bytes == 2**20
    assert policy.env == {"A": "1"}
    assert (policy.limits.cpus, policy.limits.memory_bytes, policy.limits.pids) == (1, 2**31, 100)
    assert (policy.limits.disk_bytes, policy.limits.time_s) == (2**30, 300)
    assert (policy.budget.turns, policy.budget.usd, policy.budget.input_tokens) == (5, 1, 10)
    assert policy.export.max_bytes == 1024
    assert policy.export.refuse == ("secret", "binary")
    assert policy.export.ignore == ("out/",)
    assert policy.export.include == ("dist/", "!dist/x")
    told = policy.narrowed or ""
    for words in (
        "limits.memory 4GiB becomes 2GiB",
        "commands without python3, git, rm",
        "exec_workspace true becomes false",
        "budget.usd no bound becomes 1",
        "paths.write without ., with src",
    ):
        assert words in told


def test_several_ceilings_all_hold_and_none_lifts_another(bounded: Make) -> None:
    policy = bounded("commands: [ls]\nlimits: {pids: 50}", "commands: [ls, python3]")
    assert isinstance(bash(policy, "ls"), Allow)
    denied = bash(policy, "python3")
    assert isinstance(denied, Deny)
    assert "ceiling0.yaml" in denied.rule
    assert policy.limits.pids == 50
    assert bounded("limits: {pids: 50}", "limits: {pids: 90}").limits.pids == 50
    assert bounded("limits: {pids: 90}", "limits: {pids: 50}").limits.pids == 50


def test_a_ceiling_of_reading_bounds_writing_too(bounded: Make) -> None:
    policy = bounded("paths: {read: [src]}")
    assert policy.paths.write == ("src",)
    for tool, path, expected in (
        ("read_file", "src/a", Allow),
        ("read_file", "docs/a", Deny),
        ("write_file", "docs/a", Deny),
    ):
        assert isinstance(decide(policy, Call(tool=tool, arguments={"path": path})), expected)


def test_an_image_may_be_bounded_to_one(bounded: Make) -> None:
    assert bounded("image: python").image == "python"
    with pytest.raises(PolicyError, match=r"image: the ceiling allows the image node only, .*pyth"):
        bounded("image: node")


@pytest.mark.parametrize(
    "own", ["", "review: {model: null, require: null}", "review: {model: 'a:easy'}"]
)
def test_no_policy_drops_the_opinion_that_a_ceiling_demands(bounded: Make, own: str) -> None:
    demanded = "review: {model: 'a:strict', require: approve}"
    policy = bounded(demanded, policy=f"{POLICY}\n{own}\n")
    assert (policy.review.model, policy.review.require) == ("a:strict", "approve")
    assert "review.require nothing becomes approve" in (policy.narrowed or "")
    assert "becomes a:strict" in (policy.narrowed or "")
    assert loads(render(policy), file="again.yaml").review == policy.review


def test_a_ceiling_that_names_no_reviewer_takes_the_policy_s(bounded: Make) -> None:
    own = f"{POLICY}\nreview: {{model: 'a:mine'}}\n"
    policy = bounded("review: {require: approve}", policy=own)
    assert (policy.review.model, policy.review.require) == ("a:mine", "approve")
    lifted = bounded("review: {model: null, require: null}", policy=own)
    assert (lifted.review.model, lifted.review.require) == ("a:mine", None)


def test_a_ceiling_may_extend_a_policy(bounded: Make) -> None:
    policy = bounded("extends: read-only\n-commands: [ls]")
    assert isinstance(bash(policy, "ls"), Deny)
    assert isinstance(bash(policy, "python3 x"), Deny)
    assert isinstance(bash(policy, "git status"), Allow)


@pytest.mark.parametrize(
    "text",
    ["+commands: [ls]", "-commands: [ls]", "+tools: [bash]", "paths: {+write: [src]}"],
)
def test_nothing_is_added_to_a_list_that_is_everything(bounded: Make, text: str) -> None:
    with pytest.raises(PolicyError, match="no list to change"):
        bounded(text)


def test_a_guard_of_the_ceiling_is_not_undone_by_an_exception_of_the_policy(bounded: Make) -> None:
    policy = bounded("workspace: {exclude: [.env.example]}")
    assert policy.workspace.exclude[-1] == ".env.example"
    kept = bounded("workspace: {exclude: [.env.*, '!.env.example', '*.db']}")
    assert kept.workspace.exclude == (".env.*", "!.env.example", "*.db")


@pytest.mark.parametrize(
    "text", ["commands: [ls", "comands: []", "commands: [{program: git, args: }]"]
)
def test_a_broken_ceiling_is_an_error(bounded: Make, text: str) -> None:
    with pytest.raises(PolicyError, match=r"ceiling0\.yaml:[34]"):
        bounded(text)


def test_all_tools_are_bounded_by_name(bounded: Make) -> None:
    policy = bounded("tools: []")
    for tool in TOOLS:
        assert isinstance(decide(policy, Call(tool=tool, arguments={"path": "a"})), Deny)


def test_what_a_rule_without_arguments_has_asked_about_is_asked_about_under_a_ceiling(
    bounded: Make,
) -> None:
    rules = "commands: [git, {program: git, args: [], require: [-f], ask: true}]"
    asking = f"version: 1\nname: p\ntools: [bash]\n{rules}\n"
    policy = bounded("commands: [git]", policy=asking)
    assert not more(bounded(policy=asking), policy)
    # What stands before the subcommand may make any other of it.
    assert isinstance(bash(replace(policy, bounds=None), "git -f log"), Ask)
