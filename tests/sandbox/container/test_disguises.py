"""Programs by another name, in another place, in another form: a real image holds them all."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from images.build import RECIPE_LABEL, ensure_recipe
from images.recipes import Recipe
from policies.kernel.image import Inventory
from policies.kernel.rules import kernel_rules
from policies.loading import load
from policies.policy import Policy
from sandbox.container.prepared_image import inventory_file, prepare
from sandbox.engine.docker import Engine
from sandbox.errors import EngineError
from sandbox.sandbox import Sandbox

pytestmark = pytest.mark.slow

# Does what it is called by: `list` is harmless, `wipe` is what nobody listed.
MULTICALL = rb"""
#include <stdio.h>
#include <string.h>
int main(int n, char **a) {
  const char *name = strrchr(a[0], '/'); name = name ? name + 1 : a[0];
  if (n > 1) name = strncmp(a[1], "--as=", 5) ? name : a[1] + 5;
  printf("%s\n", strcmp(name, "wipe") ? "listed" : "wiped");
}
"""
DOCKERFILE = r"""
FROM {base}
USER root
COPY multi.c /tmp/multi.c
RUN set -eu; \
    gcc -o /usr/local/bin/box /tmp/multi.c; gcc -static-pie -o /opt/static-pie /tmp/multi.c; \
    cd /usr/local/bin; ln -s box list; ln -s box wipe; \
    gcc -DX -o hard-list /tmp/multi.c -Wl,--build-id=none; ln hard-list hard-wipe; \
    cp box copied-list; cp box copied-wipe; \
    ln -s /etc/alternatives/chosen chosen; ln -s /usr/local/bin/box /etc/alternatives/chosen; \
    mkdir /srv/deep /home/other /opt/npm; \
    for place in /run/p /home/other/p /srv/deep/p /tmp/p /var/cache/p /usr/share/p.dat \
        /usr/lib/x86_64-linux-gnu/p /lib64/p /usr/lib/python3/dist-packages/p /opt/libp.so \
        /usr/lib/python3.11/p.so; do cp /usr/bin/perl $place; done; \
    chmod 644 /srv/deep/p /usr/share/p.dat /var/cache/p; \
    chmod 755 /home/other /home/other/p; \
    printf '#!/usr/bin/env -S python3 -X dev\nprint(40 + 2)\n' > split; \
    printf '#!/usr/bin/env python3 -X\nprint(40 + 2)\n' > oneword; \
    printf '#!/usr/local/bin/box --as=list\n' > script-list; \
    printf '#!/usr/bin/env python3\nprint(40 + 2)\n' > /opt/npm/cli.py; \
    mkdir /usr/local/links; ln -s /usr/local/bin/box /usr/local/links/ls; \
    chmod 755 split oneword script-list /opt/npm/cli.py; ln -s /opt/npm/cli.py linked; \
    rm /tmp/multi.c
USER agent
"""
PLACES = ("/run/p", "/home/other/p", "/srv/deep/p", "/var/cache/p", "/usr/share/p.dat",
          "/usr/lib/x86_64-linux-gnu/p", "/usr/lib64/p", "/opt/static-pie", "/opt/libp.so",
          "/usr/lib/python3/dist-packages/p", "/usr/lib/python3.11/p.so")  # fmt: skip


@pytest.fixture(scope="module")
def disguised(engine: Engine, image: str) -> Iterator[str]:
    """An image in which programs stand under names and in places that nobody expects."""
    name = f"disguised-{os.getpid()}"
    files = {"Dockerfile": DOCKERFILE.replace("{base}", image).encode(), "multi.c": MULTICALL}
    yield ensure_recipe(engine, Recipe(name=name, files=files), {}, on_progress=lambda _: None)
    for info in engine.images(f"{RECIPE_LABEL}={name}"):
        made = prepare(engine, info, on_progress=lambda _: None)
        engine.remove_image(made.id)
        inventory_file(engine.cache, made.key).unlink(missing_ok=True)
        for tag in info.tags:
            with contextlib.suppress(EngineError):  # a copy on top of it is being removed
                engine.remove_image(tag)


@pytest.fixture(scope="module")
def inventory(engine: Engine, disguised: str) -> Inventory:
    info = engine.image(disguised)
    assert info is not None
    return prepare(engine, info, on_progress=lambda _: None).inventory


def policy_of(directory: Path, text: str) -> Policy:
    file = directory / "p.yaml"
    file.write_text(f"version: 1\nname: p\nextends: locked\n{text}\n")
    return load(str(file))


@pytest.fixture(scope="module")
def narrow(
    engine: Engine, disguised: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    """Under a policy that lets python3 run, and what is put into the workspace."""
    directory = tmp_path_factory.mktemp("narrow")
    policy = policy_of(directory, "commands: [python3, cp, hard-list]\nexec_workspace: true")
    (directory / "workspace").mkdir()
    with Sandbox.open(
        workspace=directory / "workspace", policy=policy, image=disguised, engine=engine
    ) as box:
        yield box


@pytest.mark.parametrize("place", PLACES)
def test_a_program_is_found_wherever_it_stands(
    place: str, narrow: Sandbox, inventory: Inventory
) -> None:
    assert place in inventory.programs
    code = "-e 'print 42*42'"
    tried = narrow.run(
        f"{place} {code}; cp {place} q && ./q {code}; /lib64/ld-linux-x86-64.so.2 {place} {code}"
    )
    assert b"1764" not in tried.stdout
    assert b"listed" not in tried.stdout
    assert tried.exit_code != 0


def test_what_stands_where_the_agent_may_write_is_the_agents_and_that_is_said(
    narrow: Sandbox,
) -> None:
    assert any("/tmp/p" in note for note in narrow.seal.notes)


def test_what_an_allowed_name_would_be_by_another_is_said_and_nothing_else_runs(
    narrow: Sandbox, inventory: Inventory
) -> None:
    (note,) = [note for note in narrow.seal.notes if "held apart" in note]
    assert note == (
        "hard-list can't be held apart from hard-wipe here: both are /usr/local/bin/hard-list"
    )
    # What is said is so: the one file does both.
    assert narrow.run("hard-list").stdout == b"listed\n"
    assert narrow.run("exec -a wipe /usr/local/bin/hard-list").stdout == b"wiped\n"
    # And nothing but what is said.
    assert narrow.run("box; wipe; copied-wipe; copied-list; list").stdout == b""
    programs = inventory.programs
    one, other = (programs[f"/usr/local/bin/hard-{name}"].inode for name in ("list", "wipe"))
    assert one == other


@pytest.mark.parametrize(
    ("listed", "others"),
    [
        ("list", {"box", "wipe", "chosen"}),
        ("chosen", {"box", "wipe", "list"}),
        ("/usr/local/links/ls", {"box", "wipe", "list"}),  # in a directory of links alone
        ("copied-list", {"box", "wipe", "list", "copied-wipe", "chosen"}),
    ],
)
def test_links_chains_and_copies_are_told_at_the_load_of_a_policy(
    listed: str, others: set[str], inventory: Inventory, tmp_path: Path
) -> None:
    rules = kernel_rules(policy_of(tmp_path, f"commands: [{listed}]"), inventory)
    (shared,) = rules.granted.shared
    assert {path.rpartition("/")[2] for path in shared.others} >= others
    name = listed.rpartition("/")[2]
    assert any(f"{name} can't be held apart from " in note for note in rules.notes)


def test_a_script_brings_what_its_first_line_starts_and_no_more(
    engine: Engine, disguised: str, tmp_path: Path
) -> None:
    (tmp_path / "workspace").mkdir()
    policy = policy_of(tmp_path, "commands: [split, linked, script-list]")
    with Sandbox.open(
        workspace=tmp_path / "workspace", policy=policy, image=disguised, engine=engine
    ) as box:
        assert box.run("split; linked; script-list").stdout == b"42\n42\nlisted\n"
        assert box.run("hard-wipe; copied-wipe; perl -e 'print 42*42'").stdout == b""
        assert (
            "script-list brings /usr/local/bin/box: executable though not listed" in box.seal.notes
        )
        assert any("box can't be held apart from " in note for note in box.seal.notes)


def test_a_first_line_that_starts_nothing_brings_nothing(
    inventory: Inventory, tmp_path: Path
) -> None:
    rules = kernel_rules(policy_of(tmp_path, "commands: [oneword]"), inventory)
    assert "/usr/bin/python3.11" not in rules.granted.executable
    assert any("python3 -X" in note for note in rules.notes)


PERL_IN_PROCESS = """
import ctypes, glob
perl = ctypes.CDLL(glob.glob("/usr/lib/*/libperl.so.5.*")[0])
perl.perl_alloc.restype = ctypes.c_void_p
me = ctypes.c_void_p(perl.perl_alloc())
perl.perl_construct(me)
words = (ctypes.c_char_p * 4)(b"perl", b"-e", b"$|=1; print 42*42", None)
perl.perl_parse(me, None, 3, words, None)
perl.perl_run(me)
"""


def test_an_interpreter_in_a_library_is_out_of_reach(narrow: Sandbox) -> None:
    result = narrow.run("python3 -", stdin=PERL_IN_PROCESS.encode())
    assert b"1764" not in result.stdout
    assert b"Permission denied" in result.stderr or b"cannot open" in result.stderr
    library = "/usr/lib/x86_64-linux-gnu/libperl.so.5.36"
    loaded = "print(open('/proc/self/maps').read().count('libperl'))"
    copied = f'cp {library} here.so; LD_PRELOAD={library} python3 -c "{loaded}"; ls'
    assert narrow.run(copied).stdout.startswith(b"0\n")


def test_where_the_interpreter_is_listed_its_library_is_too(
    engine: Engine, disguised: str, tmp_path: Path
) -> None:
    (tmp_path / "workspace").mkdir()
    policy = policy_of(tmp_path, "commands: [python3, perl]")
    with Sandbox.open(
        workspace=tmp_path / "workspace", policy=policy, image=disguised, engine=engine
    ) as box:
        assert box.run("python3 -", stdin=PERL_IN_PROCESS.encode()).stdout == b"1764"
