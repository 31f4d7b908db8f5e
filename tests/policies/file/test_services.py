"""Services as a person writes them: decoded, composed, written out, bounded, compared."""

from pathlib import Path

import pytest

from policies.errors import PolicyError
from policies.file.schema import render
from policies.loading import load
from policies.operator.ceiling import load_ceiling, under
from policies.operator.diff import more
from policies.policy import ServiceRule

CACHE = "{name: cache, command: redis-server, ready: redis-cli ping, programs: [sh], timeout: 5s}"
STORE = "{name: store, command: postgres, ready: pg_isready}"


def written(directory: Path, text: str, name: str = "own") -> str:
    file = directory / f"{name}.yaml"
    file.write_text(f"version: 1\nname: {name}\n{text}\n")
    return str(file)


def names(file: str) -> list[str]:
    return [service.name for service in load(file).services]


def test_a_service_is_decoded_and_written_out_as_it_was(tmp_path: Path) -> None:
    file = written(tmp_path, f"extends: locked\nservices: [{CACHE}, {STORE}]")
    policy = load(file)
    assert policy.services == (
        ServiceRule(
            name="cache",
            command="redis-server",
            ready="redis-cli ping",
            programs=("sh",),
            timeout_s=5.0,
        ),
        ServiceRule(
            name="store", command="postgres", ready="pg_isready", programs=(), timeout_s=60.0
        ),
    )
    again = tmp_path / "again.yaml"
    again.write_text(render(policy))
    assert load(str(again)).services == policy.services
    assert load("default").services == ()


def test_a_child_adds_and_takes_away_by_name(tmp_path: Path) -> None:
    written(tmp_path, f"services: [{CACHE}]", "parent")
    assert names(written(tmp_path, "extends: ./parent.yaml")) == ["cache"]
    assert names(written(tmp_path, f"extends: ./parent.yaml\n+services: [{STORE}]")) == [
        "cache",
        "store",
    ]
    assert names(written(tmp_path, "extends: ./parent.yaml\n-services: [cache]")) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: [{name: a, command: x}]", "services[0].ready: is missing"),
        ("services: [{name: a, command: x, redy: y}]", "did you mean `ready`"),
        ("services: [{name: ../a, command: x, ready: y}]", "plain name"),
        ("services: [{name: a, command: '', ready: y}]", "expected a command"),
        ("services: [{name: a, command: x, ready: y, timeout: 5}]", "with its unit"),
        ("services: [{name: a, command: x, ready: y, programs: [./b]}]", "exec_workspace"),
        (
            "services: [{name: a, command: x, ready: y}, {name: a, command: z, ready: y}]",
            "there are two services 'a'",
        ),
        ("-services: [a]", "is not in the list"),
    ],
)
def test_what_is_wrong_is_said_in_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PolicyError) as refused:
        load(written(tmp_path, f"extends: locked\n{text}"))
    shown = [f"{one.where}: {one.key}: {one.message}" for one in refused.value.all]
    assert any(said in line for line in shown), shown


def test_a_ceiling_leaves_the_services_that_it_holds_itself(tmp_path: Path) -> None:
    policy = load(written(tmp_path, f"extends: locked\nservices: [{CACHE}, {STORE}]"))
    ceiling = load_ceiling(written(tmp_path, f"services: [{STORE}]", "top"))
    narrowed = under(policy, [ceiling])
    assert [service.name for service in narrowed.services] == ["store"]
    assert "services without cache" in (narrowed.narrowed or "")
    none = load_ceiling(written(tmp_path, "services: []", "none"))
    assert under(policy, [none]).services == ()
    silent = load_ceiling(written(tmp_path, "exec_workspace: false", "silent"))
    assert under(policy, [silent]).services == policy.services


def test_a_service_that_is_new_or_other_allows_more(tmp_path: Path) -> None:
    before = load(written(tmp_path, f"extends: locked\nservices: [{STORE}]"))
    changed = STORE.replace("ready: pg_isready", "ready: pg_isready, programs: [sh]")
    after = load(written(tmp_path, f"extends: locked\nservices: [{changed}, {CACHE}]"))
    wider = [one.what for one in more(before, after)]
    assert [what.partition(",")[0] for what in wider] == ["the service store", "the service cache"]
    assert "with sh" in wider[0]
    assert not more(after, before) or "with sh" not in more(after, before)[0].what
