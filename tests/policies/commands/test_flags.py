"""``forbid`` and ``require`` hold however a flag is written, and refuse no file's name."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from policies.decision import Allow, Ask, Call, Decision, Deny, decide
from policies.loading import load
from policies.policy import Policy

FLAGGED = """version: 1
name: flagged
tools: [bash]
commands:
  - ls
  - echo
  - cat
  - env
  - timeout
  - nice
  - nohup
  - stdbuf
  - setsid
  - time
  - xargs
  - watch
  - flock
  - doas
  - strace
  - chroot
  - su
  - runuser
  - script
  - bash
  - sh
  - {program: diff, forbid: [--to-file, -W]}
  - {program: find, forbid: [-delete]}
  - {program: git, args: [[status], [add], [commit], [stash, list]], forbid: [--no-verify]}
  - {program: git, args: [[push]], forbid: [--force, --mirror, --exec-path]}
  - {program: git, args: [[clean]], require: [--dry-run]}
  - {program: rm, forbid: [-r]}
  - {program: tar, forbid: [-x, --to-command, -I]}
  - {program: gcc, forbid: [-fplugin, -B, -specs]}
  - {program: python3, forbid: [-c, -m]}
  - {program: pip, args: [[install]]}
  - {program: tool, forbid: [--force, -f]}
  - {program: kill, forbid: ["-9"]}
exec_workspace: true
"""
CASES = yaml.safe_load((Path(__file__).parent / "flags.yaml").read_text("utf-8"))
Make = Callable[[str], Policy]


@pytest.fixture(scope="module")
def flagged(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    file = tmp_path_factory.mktemp("policy") / "flagged.yaml"
    file.write_text(FLAGGED)
    return load(str(file))


def decided(policy: Policy, command: str) -> Decision:
    return decide(policy, Call(tool="bash", arguments={"command": command}))


@pytest.mark.parametrize("command", CASES["deny"])
def test_a_forbidden_flag_is_found_however_it_is_written(flagged: Policy, command: str) -> None:
    decision = decided(flagged, command)
    assert isinstance(decision, Deny)
    assert decision.reason
    assert "\n" not in decision.reason


@pytest.mark.parametrize("command", CASES["left"])
def test_a_program_that_only_the_run_knows_is_the_kernels(flagged: Policy, command: str) -> None:
    decision = decided(flagged, command)
    assert isinstance(decision, Allow)
    assert decision.notes or "exec_workspace" in decision.rules[0]


@pytest.mark.parametrize("command", CASES["allow"])
def test_what_is_no_forbidden_flag_is_let_be(flagged: Policy, command: str) -> None:
    decision = decided(flagged, command)
    assert isinstance(decision, Allow), decision.reason
    assert decision.notes == ()


def test_the_attempts_are_many() -> None:
    assert len(CASES["deny"]) >= 120


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("git push -uf", "-uf may be --force in other letters, which is not allowed with git push"),
        ("git push --forc", "--forc may be short for --force"),
        ("tool -xf", "-xf holds -f, which is not allowed with tool (nor is --force)"),
        ("git push --force", "--force is not allowed with git push (nor is --mirror, --exec-path)"),
        ("git push $X", "what $X is: write it out, put it after `--`, or begin it with `./`"),
        ("git push $X", "with git push none of --force, --mirror, --exec-path may be given"),
        ("git clean", "git clean needs --dry-run here"),
        ("gcc @x", "what @x is"),
        ("TAR_OPTIONS=x ls", "TAR_OPTIONS gives tar options"),
        ("git p", "with git may stand add, clean, commit, push, stash list, status"),
        ("pip --python x install", "pip: --python stands before the subcommand"),
    ],
)
def test_a_refusal_says_which_flag_and_what_may_run_instead(
    flagged: Policy, command: str, says: str
) -> None:
    decision = decided(flagged, command)
    assert isinstance(decision, Deny)
    assert says in decision.reason
    assert "flagged.yaml:" in decision.rule


def test_what_one_rule_forbids_no_other_allows(make_policy: Make) -> None:
    policy = make_policy(
        "tools: [bash]\ncommands:\n  - git\n"
        "  - {program: git, args: [[push]], forbid: [--force]}\n"
        "  - {program: git, args: [[push], [tag]], require: [--force]}\n"
    )
    assert isinstance(decided(policy, "git push"), Allow)
    assert isinstance(decided(policy, "git tag --force x"), Allow)
    for denied in ("git push --force", "git push -f", "git $x --force", "git --odd push", "git $x"):
        assert isinstance(decided(policy, denied), Deny)


def test_rules_that_require_different_flags_are_alternatives(make_policy: Make) -> None:
    policy = make_policy(
        "tools: [bash]\ncommands:\n"
        "  - {program: tool, require: [--check]}\n  - {program: tool, require: [--diff, -q]}\n"
    )
    assert isinstance(decided(policy, "tool --check x"), Allow)
    assert isinstance(decided(policy, "tool --diff x -q"), Allow)
    assert isinstance(decided(policy, "tool --diff"), Deny)
    assert isinstance(decided(policy, "tool --chec x"), Deny)
    assert isinstance(decided(policy, "tool -o --check"), Deny)


def test_a_rule_that_asks_beats_one_that_allows(make_policy: Make) -> None:
    policy = make_policy(
        "tools: [bash]\ncommands:\n  - git\n"
        "  - {program: git, args: [[push]], ask: true}\n"
        "  - {program: git, args: [[push]], forbid: [--force]}\n"
        "  - {program: kill, ask: true}\n"
    )
    assert isinstance(decided(policy, "git status"), Allow)
    assert isinstance(decided(policy, "git push"), Ask)
    assert isinstance(decided(policy, "git push --force"), Deny)
    assert isinstance(decided(policy, "kill 1"), Ask)
    assert isinstance(decided(policy, "builtin kill 1"), Ask)


def test_what_may_be_a_command_that_asks_is_asked_about(make_policy: Make) -> None:
    policy = make_policy(
        "tools: [bash]\ncommands:\n  - git\n  - {program: git, args: [[push]], ask: true}\n"
    )
    for command in ("git $x", "git -c alias.x=push x", "git --odd push", 'git "$x"'):
        assert isinstance(decided(policy, command), Ask)


def test_git_with_an_alias_is_not_looked_past(make_policy: Make) -> None:
    policy = make_policy("tools: [bash]\ncommands: [{program: git, forbid: [--force]}]\n")
    assert isinstance(decided(policy, "git status -s"), Allow)
    assert isinstance(decided(policy, "git log --oneline"), Allow)
    for command in ("git p", "git -c alias.p='push --force' p", "git --exec-path=x log"):
        assert isinstance(decided(policy, command), Deny)
