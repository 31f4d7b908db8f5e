"""What is learned from a run allows that run, and nothing that its text smuggles in."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.decision import Allow, Ask, Call, Deny, decide
from policies.loading import load, loads
from policies.operator.learn import LearnedPolicy, learn
from policies.operator.needs import ObservedCall
from policies.operator.proposal import ObservedUse
from policies.policy import Policy

BASE = loads(
    """version: 1
name: base
tools: [bash, write_file]
commands: [ls, {program: rm, ask: true}]
exec_workspace: true
paths: {write: [.]}
env: {A: "1"}
limits: {memory: 8GiB}
""",
    file="base.yaml",
)


def bash(number: int, command: str, *, asked: bool = False) -> ObservedCall:
    return ObservedCall(number=number, tool="bash", arguments={"command": command}, asked=asked)


def lesson(
    *calls: ObservedCall,
    base: Policy = BASE,
    there: Sequence[str] = (),
    changed: Sequence[str] = (),
) -> LearnedPolicy:
    return learn(
        calls,
        base=base,
        title="Learned.",
        used=ObservedUse(),
        changed=changed,
        is_directory=lambda place: place in there,
    )


def programs(policy: Policy) -> list[object]:
    return [
        rule.program if rule.args is None else (rule.program, rule.args) for rule in policy.commands
    ]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("ls -l | sort", ["ls", "sort"]),
        ("env A=1 timeout 5 make -j2", ["env", "make", "timeout"]),
        ("find . -name x -exec grep y {} +", ["find", "grep"]),
        ("bash -c 'pytest -q; ls'", ["bash", "ls", "pytest"]),
        ("git -C src status && git commit -m x", [("git", (("commit",), ("status",)))]),
        ("git config user.name x", [("git", (("config", "user.name"),))]),
        ("git -c alias.x='!ls' x", ["git"]),
        ("/usr/bin/python3 x.py", ["python3"]),
        ("/opt/tool/bin/t", ["/opt/tool/bin/t"]),
        ("cd src; echo x; ls", ["ls"]),
        ("echo $(curl x)", ["curl"]),
    ],
)
def test_programs_are_found_wherever_they_stand(command: str, expected: list[object]) -> None:
    found = lesson(bash(1, command))
    assert programs(found.policy) == expected
    assert found.unmet == ()


def test_each_entry_says_which_call_needed_it() -> None:
    found = lesson(bash(1, "ls"), bash(2, "sort x"), bash(7, "ls; ./x"))
    assert "  - ls  # calls 1, 7\n" in found.text
    assert "  - sort  # call 2\n" in found.text
    assert "exec_workspace: true  # call 7\n" in found.text


def test_nothing_is_allowed_that_no_call_needed() -> None:
    policy = lesson(bash(1, "git status")).policy
    assert policy.tools == ("bash",)
    assert policy.exec_workspace is False
    assert policy.paths.write == ()
    for command in ("ls", "git commit", "git push", "./x", "echo > x"):
        assert isinstance(decide(policy, Call(tool="bash", arguments={"command": command})), Deny)


def test_writing_is_allowed_where_something_was_written() -> None:
    calls = [
        ObservedCall(number=1, tool="write_file", arguments={"path": "src/new/deep/a.py"}),
        ObservedCall(number=2, tool="edit_file", arguments={"path": "/workspace/docs/x.md"}),
        ObservedCall(number=3, tool="write_file", arguments={"path": "/tmp/x"}),
        bash(4, "echo x > out/y"),
    ]
    there = ("src", "docs", "out")
    policy = lesson(*calls, there=there, changed=["lib/z"]).policy
    assert policy.paths.write == (".",), "lib is new, so its rule stands on what holds it"
    policy = lesson(*calls, there=(*there, "lib"), changed=["lib/z", "src/b"]).policy
    assert policy.paths.write == ("docs", "lib", "out", "src")


def test_git_that_commits_may_write_its_own_directory() -> None:
    assert lesson(bash(1, "git commit -m x"), there=[".git"]).policy.paths.write == (".git",)
    assert lesson(bash(1, "git log"), there=[".git"]).policy.paths.write == ()


def test_consent_that_was_needed_stays_needed() -> None:
    found = lesson(bash(1, "rm x", asked=True))
    assert found.unmet == ()
    call = Call(tool="bash", arguments={"command": "rm x"})
    assert isinstance(decide(found.policy, call), Ask)


def test_what_the_run_had_is_kept_and_not_exceeded() -> None:
    found = learn(
        [bash(1, "ls")],
        base=BASE,
        title="Learned.",
        used=ObservedUse(seconds=100, turns=7, input_tokens=10_000, output_tokens=10**9),
    )
    assert found.policy.env == {"A": "1"}
    assert found.policy.limits.memory_bytes == 8 * 2**30
    assert found.policy.limits.time_s == 240
    assert (found.policy.budget.turns, found.policy.budget.input_tokens) == (10, 13_000)
    assert found.policy.budget.output_tokens == BASE.budget.output_tokens


def test_what_only_the_kernel_decided_is_told() -> None:
    found = lesson(bash(3, "ls; $TOOL x"))
    assert "# left to the kernel in call 3: $TOOL x" in found.text


HOSTILE = [
    "x\n  - curl",
    "x # \ncommands: [curl]",
    "\u2028- curl",
    "a\x85exec_workspace: true",
    "'x\n\"y\"\nexec_workspace: true'",
    "'\x1b[2Jx'",
    "null",
    "yes",
    "'- curl'",
    "'!!python/object:x'",
    "'&a *a'",
    "'{program: curl}'",
    "$'x\\ncommands: [curl]'",
    "ls '\ud800'",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_text_of_a_call_does_not_become_yaml(text: str) -> None:
    found = lesson(
        bash(1, text),
        bash(2, f"ls > {text}"),
        ObservedCall(number=3, tool="write_file", arguments={"path": f"{text}/a"}),
        ObservedCall(number=4, tool=text, arguments={}),
        there=[text],
        changed=[f"{text}/b", text],
    )
    assert found.text.isascii()
    assert found.text.replace("\n", "").isprintable()
    allowed = {str(rule.program) for rule in found.policy.commands}
    written = {word for call in (text, f"ls > {text}") for word in call.replace("\n", " ").split()}
    assert allowed <= written | {"curl", "ls", "commands:", "-"}
    if "curl" in allowed:
        assert any(line.split()[:1] == ["curl"] or "- curl" in line for line in text.split("\n"))
    # A name with a slash in it is a path in the workspace, whatever else it is.
    assert found.policy.exec_workspace is ("/" in text)
    assert set(found.policy.tools) <= {"bash", "write_file"}


COMMANDS = st.lists(
    st.sampled_from(
        ["ls", "git status", "git push x", "./run", "echo a > b/c", "X=1 make", "sh s.sh", "$A b",
         "bash -c 'ls | wc'", "cat <<E\nx\nE", "GIT_DIR=x git log", "PATH=. ls", "(", "git $X",
         "echo > /etc/x", "find . -exec rm {} +", "export LD_PRELOAD=x", "rm a"]
    ),
    min_size=1,
    max_size=6,
)  # fmt: skip


@pytest.mark.slow
@settings(deadline=None)
@given(COMMANDS)
def test_what_is_learned_loads_and_allows_every_call_or_says_which_not(texts: list[str]) -> None:
    calls = [bash(number, text) for number, text in enumerate(texts, 1)]
    found = lesson(*calls, base=load("default"))
    again = loads(found.text, file="again.yaml")
    for call in calls:
        decision = decide(again, Call(tool="bash", arguments=call.arguments))
        told = any(reason.startswith(f"call {call.number}: ") for reason in found.unmet)
        assert isinstance(decision, Allow) != told, call
        # Only what no policy allows may be left.
        assert not told or call.arguments["command"] in {"(", "export LD_PRELOAD=x"}, found.unmet
