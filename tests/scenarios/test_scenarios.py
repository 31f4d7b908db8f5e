"""Every scenario beside this file, through the command line, in a real sandbox, on each provider.

What happens stands in the scenarios; `scenario` says how one reads.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from command_line.running import Shell
from fakes.services import SERVICES, ProviderService
from scenarios import terminal
from scenarios.scenario import HERE, Aside, Scenario, Step, load
from standins.exchange.replies import Refuse
from standins.exchange.server import Exchange, Recorded

NOW = sorted(HERE.glob("*.yaml"))
IN_TEXT = sorted(HERE.glob("in_text/*.yaml"))


@pytest.mark.parametrize("provider", SERVICES, ids=lambda provider: provider.provider)
@pytest.mark.parametrize("path", NOW, ids=lambda path: path.stem)
def test_it_happens_as_written(
    path: Path, provider: ProviderService, moonpool: Shell, image: str, tmp_path: Path
) -> None:
    happens(load(path), provider, moonpool, tmp_path, text_only=False)


@pytest.mark.slow
@pytest.mark.parametrize("provider", SERVICES, ids=lambda provider: provider.provider)
@pytest.mark.parametrize("path", IN_TEXT, ids=lambda path: path.stem)
def test_it_happens_as_written_with_a_model_that_has_no_tool_calls(
    path: Path, provider: ProviderService, moonpool: Shell, image: str, tmp_path: Path
) -> None:
    happens(load(path), provider, moonpool, tmp_path, text_only=True)


def happens(
    scenario: Scenario,
    provider: ProviderService,
    moonpool: Shell,
    tmp_path: Path,
    *,
    text_only: bool,
) -> None:
    before = scenario.before()
    for name, data in before.items():
        file = moonpool.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    with provider.stand_in() as api:
        api.text_only = text_only
        api.models = [provider.listed(name_in(name, provider)) for name in scenario.lists]
        env = environ(scenario, provider, api, tmp_path)
        for first in scenario.beforehand:
            play_aside(first, moonpool, provider, api, env)
        listed = len(api.requests)
        api.queue(*(turn.behaviour() for turn in scenario.turns()))
        line = command_line(scenario, provider, tmp_path)
        code, screen = play(scenario, moonpool, line, env)
        requests = api.requests[listed:]
        faults = [request.fault for request in api.requests if request.fault is not None]
        assert faults == [], "the service takes each request"
        assert len(requests) == len(scenario.turns()), screen
        assert_saw(scenario.turns(), new_words(requests))
        assert api.left == (), "the model was not asked for all that it would have said"
        assert_on_screen(scenario.screen, screen)
        assert code == scenario.exit, screen
        for then in scenario.afterwards:
            play_aside(then, moonpool, provider, api, env)
    after = {**before, **{name: text and text.encode() for name, text in scenario.after.items()}}
    assert files_of(moonpool.directory) == {
        name: data for name, data in after.items() if data is not None
    }


def environ(
    scenario: Scenario, provider: ProviderService, api: Exchange, tmp_path: Path
) -> Mapping[str, str]:
    """How the command finds the service."""
    if scenario.key is None:
        return provider.environ(api)
    file = tmp_path / "config.yaml"
    file.write_text(provider.configuration(api, scenario.key))
    return {"MOONPOOL_CONFIG": str(file), scenario.key: api.key}


def play_aside(
    aside: Aside, moonpool: Shell, provider: ProviderService, api: Exchange, env: Mapping[str, str]
) -> None:
    if aside.service is not None:
        api.queue(Refuse(aside.service))
    done = moonpool(*shlex.split(name_in(aside.command, provider)), env=env)
    screen = done.stderr + done.stdout
    assert done.returncode == aside.exit, screen
    assert_on_screen([name_in(words, provider) for words in aside.screen], screen)
    assert api.left == (), "the service was not asked"


def name_in(text: str, provider: ProviderService) -> str:
    return text.replace("NAME", provider.name)


def play(
    scenario: Scenario, moonpool: Shell, line: Sequence[str], env: Mapping[str, str]
) -> tuple[int, str]:
    """On a terminal where the person is asked something, else in a pipe; exit code and screen."""
    if scenario.answers():
        return terminal.play(moonpool, line, env=env, answers=scenario.answers())
    typed = "".join(f"{line}\n" for line in scenario.typed())
    done = moonpool(*line, env=env, stdin=typed)
    return done.returncode, done.stderr + done.stdout


def command_line(scenario: Scenario, provider: ProviderService, tmp_path: Path) -> list[str]:
    line = [scenario.command, *scenario.options]
    if scenario.key is None:
        line += ["-m", provider.model]
    if scenario.command == "run":
        line.append(scenario.typed()[0])
    if scenario.policy is not None:
        policy = tmp_path / "policy.yaml"
        policy.write_text(scenario.policy)
        line += ["-p", str(policy)]
    return line


def assert_saw(turns: Sequence[Step], words: Sequence[str]) -> None:
    for number, (turn, sent) in enumerate(zip(turns, words, strict=True), 1):
        for wanted in turn.sees:
            assert wanted in sent, f"turn {number} does not see {wanted!r} but:\n{sent}"


def assert_on_screen(wanted: Sequence[str], screen: str) -> None:
    at = 0
    for words in wanted:
        found = screen.find(words, at)
        assert found >= 0, f"{words!r} is not on the screen, or not there:\n{screen[at:]}"
        at = found + len(words)


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def new_words(requests: Sequence[Recorded]) -> list[str]:
    """For each request, every text in it that the one before did not have, whatever its shape."""
    words: list[str] = []
    known: set[str] = set()
    for request in requests:
        texts = list(_texts(request.body.get("messages") or request.body["input"]))
        words.append("\n".join(text for text in texts if text not in known))
        known.update(texts)
    return words


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
