"""What one policy allows that another does not: by meaning."""

import pytest

from policies.loading import load, loads
from policies.operator.diff import more


def said(one: str, other: str) -> list[str]:
    before, after = (
        loads(f"version: 1\nname: p\n{text}\n", file="p.yaml") for text in (one, other)
    )
    return [f"{item.key}: {item.what}" for item in more(before, after)]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("commands: [ls]", "commands: [ls, rg]", ["commands: rg with any arguments"]),
        ("commands: [ls, rg]", "commands: [rg]", []),
        (
            "commands: [{program: git, args: [[status]]}]",
            "commands: [git]",
            ["commands: git with other arguments"],
        ),
        ("commands: [git]", "commands: [{program: git, args: [[status], [log, -p]]}]", []),
        (
            "commands: [{program: git, args: [[stash, list]]}]",
            "commands: [{program: git, args: [[stash]]}]",
            ["commands: git stash"],
        ),
        (
            "commands: [{program: git, args: [[stash], [stash, list]]}]",
            "commands: [{program: git, args: [[stash]]}]",
            [],
        ),
        ("commands: [{program: git, args: []}]", "commands: []", []),
        (
            "commands: [{program: rm, ask: true}]",
            "commands: [rm]",
            ["commands: rm with other arguments, without asking a person"],
        ),
        (
            "commands: []",
            "commands: [{program: rm, ask: true}]",
            ["commands: rm with any arguments, after asking a person"],
        ),
        ("commands: [rm]", "commands: [rm, {program: rm, ask: true}]", []),
        ("commands: [ls]", "commands: [/usr/bin/ls]", []),
        ("tools: [bash]", "tools: [read_file, bash]", ["tools: the tool read_file"]),
        ("paths: {write: [.]}", "paths: {write: [src, /workspace/docs]}", []),
        ("paths: {write: [src]}", "paths: {write: [src/a, d]}", ["paths.write: writing to d"]),
        (
            "paths: {read: [src]}",
            "paths: {}",
            ["paths.read: reading all of the workspace"],
        ),
        (
            "paths: {protect: [a, b]}",
            "paths: {protect: []}",
            [f"paths.protect: changes to {name} pass the gate" for name in "ab"],
        ),
        (
            "workspace: {exclude: [.env]}",
            "workspace: {exclude: [.env, '!.env']}",
            ["workspace.exclude: .env is copied into the container"],
        ),
        (
            "export: {refuse: [secret]}",
            "export: {refuse: []}",
            ["export.refuse: a finding of secret is exported"],
        ),
        (
            "exec_workspace: false",
            "exec_workspace: true",
            ["exec_workspace: programs and scripts of the workspace run"],
        ),
        (
            "limits: {memory: 1GiB, pids: 100}",
            "limits: {memory: 2GiB, pids: 90}",
            ["limits.memory: 2GiB instead of 1GiB"],
        ),
        (
            "budget: {usd: 5}",
            "budget: {usd: null}",
            ["budget.usd: no bound instead of 5"],
        ),
        ("budget: {usd: null}", "budget: {usd: 5}", []),
        (
            "review: {model: 'a:b', require: approve}",
            "review: {model: null, require: null}",
            [
                "review.model: no second opinion",
                "review.require: a patch is exported without a reviewer's approval",
            ],
        ),
        (
            "review: {model: 'a:b'}",
            "review: {model: 'a:c', require: approve}",
            ["review.model: the opinion of a:c instead of a:b"],
        ),
        ("", "review: {model: 'a:b', require: approve}", []),
        (
            "export: {include: [a]}",
            "export: {include: [a, '*.log']}",
            ["export.include: ignored files *.log go into the patch"],
        ),
        ("image: python", "image: node", ["image: the image node instead of python"]),
        ("env: {A: '1'}", "env: {A: '2'}", ["env: commands see A='2'"]),
    ],
)  # fmt: skip
def test_the_difference(one: str, other: str, expected: list[str]) -> None:
    assert said(one, other) == expected


def test_bundled_policies_are_ordered_as_their_names_say() -> None:
    default, locked, reading = load("default"), load("locked"), load("read-only")
    assert more(default, locked) == ()
    assert {item.key for item in more(default, reading)} <= {"export.ignore", "env"}
    assert more(locked, default)
    assert more(reading, default)
