"""Images from anywhere: the guest and the kernel's rules are ours in them, whatever they hold."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from foreign_images import foreign
from policies.loading import load
from sandbox.container.guest_runtime import PYTHON
from sandbox.container.own_files import BROUGHT as PLACE
from sandbox.container.prepared_image import prepare
from sandbox.engine.docker import Engine
from sandbox.errors import FileError, ImageUnusable
from sandbox.sandbox import Sandbox

pytestmark = pytest.mark.slow

STATIC = rb"""
#include <stdio.h>
#include <stdlib.h>
int main(void) { printf("static %s\n", getenv("APP_MODE")); }
"""
SCRATCH = b"""
FROM {base} AS made
USER root
COPY static.c /tmp/static.c
RUN gcc -static -o /static /tmp/static.c
FROM scratch
COPY --from=made /static /app/static
ENV PATH=/app APP_MODE=alone LD_PRELOAD=/nowhere.so
VOLUME /workspace /opt /tmp
ENTRYPOINT ["/app/static"]
USER 4711
"""
# As in Alpine: musl, and one program that is all the others.
MUSL = b"""
FROM debian:bookworm-slim AS made
COPY trust/ /usr/local/share/ca-certificates/
COPY static.c /tmp/static.c
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends busybox-static gcc \\
    libc6-dev musl-tools >/dev/null
RUN mkdir -p /r/bin /r/lib /r/etc /r/usr/bin && musl-gcc -o /r/usr/bin/static /tmp/static.c && \\
    cp -L /usr/lib/*-linux-musl/libc.so /r/lib/ld-musl-$(uname -m).so.1 && \\
    cp /bin/busybox /r/bin/ && \\
    for name in sh ls cat; do ln -s busybox /r/bin/$name; done && \\
    echo root:x:0:0:root:/root:/bin/ash > /r/etc/passwd
FROM scratch
COPY --from=made /r /
ENV APP_MODE=musl
"""
# Loaded into a process, it says so where everybody may write.
EVIL = rb"""
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
unsigned la_version(unsigned version) { return version; }
__attribute__((constructor)) static void loaded(void) {
  char name[100]; int size = readlink("/proc/self/exe", name, 99);
  int log = open("/tmp/evil", O_WRONLY | O_CREAT | O_APPEND, 0666);
  dprintf(log, "loaded into %.*s\n", size, name);
}
"""
HOSTILE = rb"""
FROM {base}
USER root
COPY evil.c /tmp/evil.c
RUN set -eu; gcc -shared -fPIC -o /usr/lib/evil.so /tmp/evil.c; \
    echo /usr/lib/evil.so > /etc/ld.so.preload; \
    mkdir -p /opt/moonpool/rt/bin /opt/moonpool/sandbox/guest /workspace /usr/lib/evil; \
    for name in none no; do echo /usr/lib/evil.so > /opt/moonpool/$name; done; \
    for module in __init__ guest/__init__ guest/init; do \
        echo 'open("/tmp/evil", "a").write("in\n")' > /opt/moonpool/sandbox/$module.py; done; \
    cp /usr/lib/evil.so /usr/lib/evil/libc.so.6; echo left > /workspace/left; \
    printf '#!/bin/sh\necho replaced >> /tmp/evil\n' > /usr/local/bin/python3; \
    chmod 755 /usr/local/bin/python3; rm /usr/bin/python3; cp /usr/local/bin/python3 /usr/bin/; \
    cp /usr/bin/bash /usr/bin/unlisted; echo 'export ACTIVATED=yes' > /etc/activate
ENV LD_PRELOAD=/usr/lib/evil.so LD_AUDIT=/usr/lib/evil.so LD_LIBRARY_PATH=/usr/lib/evil \
    PYTHONPATH=/opt/moonpool PYTHONHOME=/opt/moonpool GIT_EXEC_PATH=/tmp BASH_ENV=/etc/activate \
    JAVA_HOME=/opt/java PATH=/tmp/x::/usr/bin:.:relative:/bin HOME=/tmp USER=root LANG=C.UTF-8
ENTRYPOINT ["/bin/false"]
USER 33
"""
COMMANDS = "commands: [static, ls, cat, git, env, bash]"


@pytest.fixture(scope="module")
def alone(engine: Engine, image: str) -> Iterator[str]:
    """One static program, and nothing else."""
    dockerfile = SCRATCH.replace(b"{base}", image.encode())
    with foreign(engine, "alone", {"Dockerfile": dockerfile, "static.c": STATIC}) as made:
        yield made


@pytest.fixture(scope="module")
def hostile(engine: Engine, image: str) -> Iterator[str]:
    dockerfile = HOSTILE.replace(b"{base}", image.encode())
    with foreign(engine, "hostile", {"Dockerfile": dockerfile, "evil.c": EVIL}) as made:
        yield made


def opened(engine: Engine, image: str, directory: Path) -> Sandbox:
    file = directory / "p.yaml"
    file.write_text(f"version: 1\nname: p\nextends: locked\nimage: {image}\n{COMMANDS}\n")
    policy = load(str(file))
    workspace = directory / "workspace"
    workspace.mkdir()
    (workspace / "a.txt").write_text("a\n")
    # By the policy's own name of it, as nobody says another.
    return Sandbox.open(workspace=workspace, policy=policy, engine=engine)


@pytest.fixture(scope="module")
def in_alone(
    engine: Engine, alone: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    with opened(engine, alone, tmp_path_factory.mktemp("alone")) as box:
        yield box


@pytest.fixture(scope="module")
def in_hostile(
    engine: Engine, hostile: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sandbox]:
    with opened(engine, hostile, tmp_path_factory.mktemp("hostile")) as box:
        yield box


def test_one_static_program_is_enough_of_an_image(in_alone: Sandbox) -> None:
    result = in_alone.run("static; ls; cat a.txt > b.txt; git init -q && git add b.txt; echo $PATH")
    assert result.stdout == f"static alone\na.txt\n/app:{PLACE}/bin\n".encode()
    assert result.exit_code == 0
    assert [change.path for change in in_alone.export().changes] == [b"b.txt"]


def test_musl_and_busybox_are_enough_too(engine: Engine, image: str, tmp_path: Path) -> None:
    assert image  # its base is ours too
    files = {"Dockerfile": MUSL, "static.c": STATIC}
    with foreign(engine, "musl", files) as made, opened(engine, made, tmp_path) as box:
        result = box.run("static; ls; git init -q && echo $PATH; ls --help 2>&1 | grep -c x")
        assert result.stdout.startswith(b"static musl\na.txt\n/usr/local/sbin:")
        assert f":{PLACE}/bin\n".encode() in result.stdout
        # The check can't tell busybox's names apart, and says so.
        assert any("ls can't be held apart from" in note or "held apart from busybox" in note
                   for note in box.seal.notes)  # fmt: skip
        assert box.run(f"{PLACE}/bin/cp a.txt b.txt").exit_code == 126


def test_what_we_bring_runs_only_where_the_policy_lists_it(
    in_alone: Sandbox, engine: Engine, alone: str
) -> None:
    info = engine.image(alone)
    assert info is not None
    programs = prepare(engine, info, on_progress=lambda _: None).inventory.programs
    ours = sorted(path for path in programs if path.startswith(PLACE))
    allowed = {f"{PLACE}/bin/{name}" for name in ("ls", "cat", "git", "env", "bash", "grep")}
    forbidden = sorted({*ours} - allowed - {f"{PLACE}/ld.so"})
    assert PYTHON in forbidden
    assert f"{PLACE}/bin/cp" in forbidden
    assert len(forbidden) > 100
    listed = "\n".join(forbidden).encode()
    script = "while read -r p; do { exec 9< $p; } 2>/dev/null && echo read $p; done; true"
    assert in_alone.run(script, stdin=listed).stdout == b""
    started = "; ".join(
        f"({path} --version; {PLACE}/ld.so {path} --version) </dev/null 2>&1 && echo ran {path}"
        for path in forbidden
    )
    assert b"ran " not in in_alone.run(f"{started}; true").stdout


def test_without_a_shell_our_python_does_not_start_either(in_alone: Sandbox) -> None:
    for argv in ([PYTHON, "-c", "1"], [f"{PLACE}/bin/cp", "a.txt", "c.txt"]):
        with pytest.raises(FileError):
            in_alone.run_program(argv)
    lent = in_alone.run_program([f"{PLACE}/ld.so", PYTHON, "-c", "print(42*42)"])
    assert b"1764" not in lent.stdout
    assert in_alone.run("python3 --version").exit_code == 127


def test_nothing_of_a_hostile_image_gets_into_the_guest(in_hostile: Sandbox) -> None:
    log = in_hostile.run("cat /tmp/evil").stdout.decode().splitlines()
    # Its own programs are its own affair; the guest's Python is not among them.
    assert set(log) <= {"loaded into /usr/bin/bash", "loaded into /usr/bin/cat"}
    assert in_hostile.seal.kernel_enforced
    assert in_hostile.seal.probed is not None


def test_the_rules_hold_in_a_hostile_image(in_hostile: Sandbox) -> None:
    tried = in_hostile.run(
        "unlisted -c 'echo ran'; cat /usr/bin/unlisted > /tmp/u; /lib64/ld-linux-x86-64.so.2 "
        f"/usr/bin/unlisted -c 'echo ran'; {PLACE}/ld.so /usr/bin/unlisted -c 'echo ran'"
    )
    assert tried.stdout == b""
    assert tried.stderr.count(b"Permission denied") >= 3


def test_what_an_image_leaves_in_our_places_is_not_there(in_hostile: Sandbox) -> None:
    assert in_hostile.run("ls -a; ls -a /opt/moonpool").stdout.split() == [
        b".", b"..", b"a.txt", b".", b"..", b"rt", b"sandbox", b"volumes",
    ]  # fmt: skip


def test_of_its_environment_commands_get_what_is_harmless(in_hostile: Sandbox) -> None:
    for _ in range(2):  # a command hands its environment to the next
        rows = dict(row.split("=", 1) for row in in_hostile.run("env").stdout.decode().splitlines())
        assert rows["JAVA_HOME"] == "/opt/java"
        assert rows["ACTIVATED"] == "yes"
        assert rows["BASH_ENV"] == "/etc/activate"
        assert rows["PATH"] == "/tmp/x:/usr/bin:/bin"
        assert (rows["HOME"], rows["USER"]) == ("/home/agent", "agent")
        assert not {"LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "GIT_EXEC_PATH", "LANG"} & {*rows}


def test_a_link_in_place_of_our_folder_is_refused(engine: Engine, image: str) -> None:
    """/opt as a link to /tmp would have the agent write the guest."""
    dockerfile = f"FROM {image}\nUSER root\nRUN rm -rf /opt && ln -s /tmp /opt\n".encode()
    with foreign(engine, "linked", {"Dockerfile": dockerfile}) as made:
        info = engine.image(made)
        assert info is not None
        with pytest.raises(ImageUnusable, match="/opt is a link"):
            prepare(engine, info, on_progress=lambda _: None)
