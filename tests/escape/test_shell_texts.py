"""Random shell against the kernel and against the check: what neither lets run leaves no mark.

The program is `canary`, added to the image for this: whatever its arguments, it leaves a file. Two
claims, each with the control that shows it could fail.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from generators.shelltexts import texts
from images.build import RECIPE_LABEL, ensure_recipe
from images.recipes import Recipe
from policies.decision import Allow, Call, Decision, decide
from policies.loading import load
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.sandbox import Sandbox

POLICY = """version: 1
name: no-interpreters
tools: [bash]
commands: [ls, cat, echo, grep, find, xargs, env, timeout, tar, sort, tee, sh, bash, rm, mkdir]
exec_workspace: false
paths: {write: [.]}
"""
ASKED = 2500
"""Texts that are asked of `decide`; what it allows without a note is run."""
RUN = 250
"""Texts that stand the kernel's test, whatever `decide` says of them."""

# A fresh bash for each text, as the guest starts it; then the marks. Many at once, because some
# wait for ever: with one at a time, it is known which.
DRIVER = r"""
mkdir -p /tmp/room/src; cd /tmp/room; rm -f /tmp/marks
number=0
while IFS= read -r -d '' text; do
  timeout -k 0.1 $LIMIT_S bash -c "$text" </dev/null >/dev/null 2>&1 &
  number=$((number + 1))
  [ $((number % $AT_ONCE)) != 0 ] || wait
done
wait
[ ! -e /tmp/marks ] || cat /tmp/marks
"""


@pytest.fixture(scope="module")
def with_canary(engine: Engine, image: str) -> Iterator[str]:
    """An image that holds the canary."""
    name = f"test-{uuid4().hex[:12]}"
    dockerfile = (
        f"FROM {image}\nUSER root\nCOPY canary /usr/local/bin/canary\n"
        "RUN chmod 755 /usr/local/bin/canary\nUSER agent\n"
    )
    canary = b"#!/bin/bash\necho >> /tmp/marks\n"
    recipe = Recipe(name=name, files={"Dockerfile": dockerfile.encode(), "canary": canary})
    yield ensure_recipe(engine, recipe, {}, on_progress=lambda _: None)
    for info in engine.images(f"{RECIPE_LABEL}={name}"):
        for tag in info.tags:
            engine.remove_image(tag)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    file = tmp_path_factory.mktemp("policy") / "policy.yaml"
    file.write_text(POLICY)
    return load(str(file))


@pytest.fixture(scope="module")
def listing_it(policy: Policy) -> Policy:
    """The same, but that the kernel lets the canary run: what holds it then is the check alone."""
    canary = replace(policy.commands[0], program="canary")
    return replace(policy, commands=(*policy.commands, canary))


def asked(policy: Policy, text: str) -> Decision:
    return decide(policy, Call(tool="bash", arguments={"command": text}))


def marks(box: Sandbox, attempts: list[str], *, at_once: int = 24) -> int:
    """How often the canary ran."""
    stdin = b"".join(text.encode() + b"\0" for text in attempts)
    setting = f"LIMIT_S=0.7 AT_ONCE={at_once}\n"
    result = box.run(setting + DRIVER, stdin=stdin, timeout_s=120)
    assert result.exit_code == 0, result.stderr
    return result.stdout.count(b"\n")


def culprits(box: Sandbox, attempts: list[str]) -> list[str]:
    """Those that made the canary run."""
    if marks(box, attempts) == 0:
        return []
    return [text for text in attempts if marks(box, [text], at_once=1)] or ["one of them"]


@pytest.mark.slow
def test_the_kernel_runs_no_canary_whatever_the_text(
    with_canary: str, policy: Policy, listing_it: Policy, engine: Engine, tmp_path: Path
) -> None:
    attempts = texts(seed=20261121, count=RUN)
    with Sandbox.open(workspace=tmp_path, policy=policy, image=with_canary, engine=engine) as box:
        assert culprits(box, attempts) == []
    with Sandbox.open(
        workspace=tmp_path, policy=listing_it, image=with_canary, engine=engine
    ) as box:
        able = marks(box, attempts)
    assert able > RUN // 10, "the texts are no attempts: the canary hardly runs at all"


def test_what_the_check_allows_without_a_note_runs_no_canary_either(
    with_canary: str, policy: Policy, listing_it: Policy, engine: Engine, tmp_path: Path
) -> None:
    """Here the kernel would let it run: the parser against bash itself."""
    allowed, denied = [], []
    for text in dict.fromkeys(texts(seed=7, count=ASKED)):
        decision = asked(policy, text)
        if isinstance(decision, Allow) and not decision.notes:
            allowed.append(text)
        elif not isinstance(decision, Allow):
            denied.append(text)
    assert len(allowed) > ASKED // 30, "the check allows next to nothing: this shows nothing"
    with Sandbox.open(
        workspace=tmp_path, policy=listing_it, image=with_canary, engine=engine
    ) as box:
        assert culprits(box, allowed) == []
        assert marks(box, denied[:120]) > 12


@pytest.mark.parametrize(
    "text",
    [
        "{ canary() { ls; }; } & canary",
        "canary() { ls; }; command unset -f canary; canary",
        "canary() { ls; }; eval 'un''set -f canary'; canary",
        "env -S canary -S ls",
        'sh -c \'alias ls="ls #"\nls "\ncanary #"\'',
        "sh -c '(( canary ))'",
        "sh -c '[[ a || canary ]]'",
        "sh -c \"echo $'a\\\\'; canary #'\"",
        "declare -i i='a[$(canary)]'; true",
        "x='a[$(canary)]'; ((x))",
        "x='a[$(canary)]'; [[ x -eq 1 ]]",
        "for x in 'a[$(canary)]'; do echo ${y:x}; done",
        "tar -cf /dev/null --checkpoint=1 --checkpoint-ac${none}tion=exec=canary .",
        "mapfile -C true -C 'env canary #' -c 1 a <<< x",
        'echo "${x:-"$\\(canary)"}"',
        "x=$(<f); ((x))",
        "read x <f; echo $((x))",
        "for x in *; do [[ x -eq 1 ]]; done",
        "x=$(<f); declare -i y=x",
        "x=$(<f); echo ${y:x}",
        "x=(cat <<E\nE\ncanary\nE)",
        "echo $'a\\\\'; canary #'",
        "echo ${x#'}; echo '; ls() { ls; }; canary ' #'}",
        'echo "${x#{a}"; canary; "}"',
        "printf -v 'a[$(timeout 5 bash -c '/usr/local/bin/can*')]' x",
        "f() { canary; }; f; canary() { ls; }",
        "x=(+(a)\ncanary\n)",
        "time !(canary)",
        "compgen -W '$(canary)' x; true",
        "BASH_CMDS[ls]=/usr/local/bin/canary; ls",
        "printf -v 'BASH_CMDS[ls]' /usr/local/bin/canary; ls",
        "declare 'BASH_CMDS[ls]'=/usr/local/bin/canary; ls",
        "declare -n r='BASH_CMDS[ls]'; r=/usr/local/bin/canary; ls",
        "PATH[0]=/tmp/room; ls",
        "exec() { ls; }; shopt -so posix\nexec canary",
        "eval() { ls; }; POSIXLY_CORRECT=1\neval canary",
        "shopt -so posix\nalias ls='canary #'\nls",
        "echo `ls a` `canary`",
        "echo `echo \\`canary\\``",
        'echo "`echo \\"\'\\"; canary #\'`"',
        "TAR_OPTIONS='--checkpoint=1 --checkpoint-action=exec=canary' tar cf /dev/null .",
        "tar cIf 'canary #' x.tar .",
        "tar -cI canary -f x.tar .",
        'x=--checkpoint-action=exec=canary; tar cf /dev/null --checkpoint=1 "$x" .',
        "x='. -maxdepth 0 -exec canary ;'; find $x",
        "x=-exec; find . -maxdepth 0 \"$x\" canary ';'",
        "echo canary > ~/.bashrc; bash -ic ls",
        "echo canary > ~/.bash_profile; bash -lc ls",
        "HOME=/usr/local; ~/bin/canary",
        'ls $"canary" > src/x',
        "cat <<'+(a)' 3<>/tmp/x\n****\n: '\n+(a)\ncanary #'",
    ],
)
def test_what_once_passed_the_check_unseen_is_denied_or_said(policy: Policy, text: str) -> None:
    decision = asked(policy, text)
    assert not isinstance(decision, Allow) or decision.notes
