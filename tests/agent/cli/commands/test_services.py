"""``moonpool run`` beside a real PostgreSQL and a real Redis, from an operator's own Dockerfile."""

from pathlib import Path

import pytest

from command_line.running import Shell
from images.build import ensure
from images.recipes import of_operator
from sandbox.engine.docker import Engine
from sandbox.errors import EngineError

pytestmark = pytest.mark.slow

DOCKERFILE = """\
FROM moonpool/python
USER root
RUN set -eu; export PATH="$PATH:/usr/sbin:/sbin" DEBIAN_FRONTEND=noninteractive; \\
    apt-get update -qq; \\
    apt-get install -qq -y --no-install-recommends \\
        postgresql redis-server python3-psycopg2 python3-redis; \\
    rm -rf /var/lib/apt/lists/* /var/lib/postgresql/*
USER agent
"""
POLICY = """\
version: 1
name: with-services
extends: default
image: ./Dockerfile
setup: {prepare: [python3 store.py version.txt]}
services:
  - name: postgres
    command: >-
      /usr/lib/postgresql/15/bin/initdb -D data -A trust -U agent &&
      exec /usr/lib/postgresql/15/bin/postgres -D data -h 127.0.0.1 -k . -c jit=off
    ready: /usr/lib/postgresql/15/bin/pg_isready -h 127.0.0.1
    programs: [sh]
  - {name: redis, command: "exec redis-server --save '' --dir .", ready: redis-cli ping}
"""
STORE = """\
import sys

import psycopg2
import redis


def database():
    return psycopg2.connect(host="127.0.0.1", user="agent", dbname="postgres")


def total(numbers):
    with database() as store, store.cursor() as cursor:
        cursor.execute("create temporary table numbers (number int)")
        for number in numbers:
            cursor.execute("insert into numbers values (%s)", (number,))
        cursor.execute("select count(number) from numbers")
        found = cursor.fetchone()[0]
    redis.Redis().set("total", found)
    return int(redis.Redis().get("total"))


if __name__ == "__main__":
    with database() as store, store.cursor() as cursor:
        cursor.execute("show server_version")
        open(sys.argv[1], "w").write(cursor.fetchone()[0] + "\\n")
"""
TEST = "from store import total\n\n\ndef test_total():\n    assert total([1, 2, 3]) == 6\n"
MODEL = """\
version: 1
turns:
  - calls:
      - {tool: bash, arguments: {command: "cat version.txt && pytest -q"}}
  - expect: ["15.", "1 failed"]
    calls:
      - tool: edit_file
        arguments: {path: store.py, old_string: count(number), new_string: sum(number)}
      - {tool: bash, arguments: {command: "pytest -q"}}
  - expect: ["1 replacement", "1 passed"]
    text: The sum is a sum.
"""


@pytest.mark.usefixtures("image")
def test_a_suite_that_talks_to_both_is_mended_and_verified(
    moonpool: Shell, engine: Engine, tmp_path: Path
) -> None:
    operator = tmp_path / "operator"
    operator.mkdir()
    (operator / "Dockerfile").write_text(DOCKERFILE)
    (operator / "policy.yaml").write_text(POLICY)
    (operator / "model.yaml").write_text(MODEL)
    (moonpool.directory / "store.py").write_text(STORE)
    (moonpool.directory / "test_store.py").write_text(TEST)
    policy = str(operator / "policy.yaml")
    recipe = of_operator(operator / "Dockerfile")
    try:
        ensure(engine, str(operator / "Dockerfile"), on_progress=lambda _: None)
        checked = moonpool("policy", "check", policy)
        assert (checked.returncode, "2 services" in checked.stdout) == (0, True), checked.stderr
        assert "not in the image" not in checked.stderr
        done = moonpool(
            "run", "mend it", "-p", policy, "-m", f"script:{operator / 'model.yaml'}",
            "--verify", "pytest -q",
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        for line in ("service postgres: ready (", "service redis: ready ("):
            assert line in done.stdout + done.stderr
        assert "verified: pytest -q passes in a fresh container" in done.stdout
        patch = moonpool("show", "last", "--patch").stdout
        assert '+        cursor.execute("select sum(number) from numbers")' in patch
        assert patch.count("diff --git") == 1
    finally:
        for info in engine.images(f"moonpool.recipe={recipe.name}"):
            for tag in info.tags:
                try:
                    engine.remove_image(tag)
                except EngineError:
                    continue  # a copy on top of it is being removed
