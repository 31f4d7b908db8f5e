"""The domain of a service, worked out from an image's inventory."""

import json
from dataclasses import replace

import pytest

from policies.kernel.image import Inventory, Program
from policies.kernel.resolved import ResolvedPolicy, as_json, as_text
from policies.kernel.rules import Access, kernel_rules
from policies.kernel.services import missing_programs, programs, service_domain
from policies.loading import load
from policies.policy import ServiceRule

BIN = "/usr/lib/postgresql/15/bin"
PATHS = ("/usr/bin/bash", "/usr/bin/git", "/usr/bin/redis-cli", f"{BIN}/postgres", f"{BIN}/initdb")
IMAGE = Inventory(
    programs={
        path: Program(path=path, inode=number, interpreter=None)
        for number, path in enumerate(PATHS, 1)
    },
    links={"/bin": "/usr/bin"},
    directories={
        "/": ("usr/", "etc/", "home/", "tmp/", "workspace/", "moonpool-services/"),
        "/usr": ("bin/", "lib/", "share/"),
        "/usr/bin": ("bash", "git", "redis-cli"),
        "/usr/lib": ("postgresql/",),
        "/usr/lib/postgresql": ("15/",),
        "/usr/lib/postgresql/15": ("bin/",),
        BIN: ("postgres", "initdb"),
    },
    search_path=("/usr/bin",),
)
STORE = ServiceRule(
    name="store",
    command=f"test -d data || {BIN}/initdb -D data && exec {BIN}/postgres -D data",
    ready="pg_isready | grep -q accepting",
    programs=("redis-cli",),
    timeout_s=1.0,
)


def test_programs_are_those_listed_and_those_that_its_lines_name() -> None:
    found = programs(load("locked"), STORE)
    assert found == ("redis-cli", f"{BIN}/initdb", f"{BIN}/postgres", "pg_isready", "grep")
    line = replace(STORE, command="A=1 timeout 5 env B=2 ./own | xargs tee", ready="true")
    assert programs(load("locked"), line) == ("redis-cli", "timeout", "env", "xargs", "tee")


def test_it_runs_its_programs_and_writes_in_its_directory_and_nothing_else() -> None:
    domain = service_domain(load("default"), STORE, IMAGE)
    runs = {rule.path for rule in domain.rules if rule.access & Access.EXECUTE}
    assert runs == set(PATHS) - {"/usr/bin/git"}
    assert domain.missing == ("pg_isready", "grep")
    writes = {
        rule.path
        for rule in domain.rules
        if rule.access & Access.WRITE and not rule.path.startswith("/dev/")
    }
    assert writes == {"/moonpool-services/store"}
    for top in ("/", "/workspace", "/home", "/home/agent", "/tmp", "/moonpool-services"):
        access = next((rule.access for rule in domain.rules if rule.path == top), Access(0))
        assert not access & ~Access.LIST, top


@pytest.mark.parametrize("name", ["default", "read-only", "locked"])
def test_no_policy_lets_commands_into_the_directories_of_services(name: str) -> None:
    policy = replace(load(name), services=(STORE,))
    # As in an image that a prepared copy was committed to.
    rules = kernel_rules(policy, IMAGE).rules
    assert not [rule for rule in rules if rule.path.startswith("/moonpool-services")]
    top = next(rule.access for rule in rules if rule.path == "/")
    assert top == Access.LIST


@pytest.mark.parametrize("place", ["/", "/moonpool-services", "/moonpool-services/store"])
def test_a_policy_that_lets_commands_into_them_is_told_so(place: str) -> None:
    policy = replace(load("default"), services=(STORE,))
    open_ = replace(policy, paths=replace(policy.paths, write=(".", place)))
    note = f"{place} may be written: commands reach the directories of services"
    assert note in kernel_rules(open_, IMAGE).notes
    assert note not in kernel_rules(policy, IMAGE).notes


def test_what_a_service_runs_is_shown_apart_from_what_commands_run() -> None:
    policy = replace(load("default"), services=(STORE,))
    figure = ResolvedPolicy(
        policy=policy,
        image="x",
        rules=kernel_rules(policy, IMAGE),
        may_ask=False,
        services={"store": service_domain(policy, STORE, IMAGE)},
    )
    text = as_text(figure, every_rule=False)
    title = "service store, in a domain of its own, runs:"
    shown = text.partition(title)[2].partition("\n\n")[0].split("\n")
    assert f"  {BIN}/postgres" in shown
    assert "  grep (not in the image)" in shown
    assert f"{BIN}/postgres" not in text.partition(title)[0]
    (row,) = json.loads(json.dumps(as_json(figure)))["services"]
    assert row["name"] == "store"
    assert {"path": "/moonpool-services/store", "access": "rw-l"} in row["kernel_rules"]


def test_programs_that_the_image_does_not_hold_are_told_by_service() -> None:
    policy = replace(load("default"), services=(STORE,))
    assert missing_programs(policy, IMAGE) == (
        "pg_isready (of service store)",
        "grep (of service store)",
    )
