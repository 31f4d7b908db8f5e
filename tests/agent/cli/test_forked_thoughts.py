"""What a model thought is carried into a fork of its run, and left behind with another provider's:
through the command line, in real containers."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from command_line.running import Shell
from fakes.services import ANTHROPIC, RESPONSES, ProviderService
from standins.exchange.replies import Call, Thought, answer
from standins.exchange.server import Exchange

pytestmark = pytest.mark.slow

WRITE = Call("write_file", {"path": "made.txt", "content": "by the agent\n"})
LOOK = Call("read_file", {"path": "made.txt"})


@dataclass(frozen=True, kw_only=True)
class Services:
    first: ProviderService
    second: ProviderService
    apis: Mapping[str, Exchange]

    @property
    def environ(self) -> dict[str, str]:
        each = {service.provider: service for service in (self.first, self.second)}
        return {
            name: value
            for provider, service in each.items()
            for name, value in service.environ(self.apis[provider]).items()
        }


@pytest.fixture(
    params=[
        (first, second) for first in (ANTHROPIC, RESPONSES) for second in (ANTHROPIC, RESPONSES)
    ],
    ids=lambda pair: f"{pair[0].provider}-{pair[1].provider}",
)
def services(request: pytest.FixtureRequest) -> Iterator[Services]:
    first, second = request.param
    with ExitStack() as stack:
        each = {service.provider: service for service in (first, second)}
        apis = {name: stack.enter_context(each[name].stand_in()) for name in each}
        yield Services(first=first, second=second, apis=apis)


def thoughts_in(body: Mapping[str, Any]) -> int:
    items = body.get("input") or [b for m in body["messages"] for b in m["content"]]
    return sum(item["type"] in {"thinking", "reasoning"} for item in items)


def test_a_fork_has_the_thoughts_of_before_where_the_provider_is_the_same(
    moonpool: Shell, image: str, services: Services
) -> None:
    assert image
    first, second = (services.apis[each.provider] for each in (services.first, services.second))
    first.queue(
        answer(Thought("I write it."), "I write.", WRITE),
        answer(Thought("I look."), LOOK),
        answer("Done."),
    )
    env = services.environ
    done = moonpool("run", "write it", "-m", services.first.model, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    second.queue(answer(Thought("Again."), LOOK), answer("Otherwise."))
    fork = ("fork", "last", "--at", "2", "and now otherwise", "-m", services.second.model)
    done = moonpool(*fork, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Otherwise." in done.stdout + done.stderr
    requests = [request for api in services.apis.values() for request in api.requests]
    assert [request.fault for request in requests] == [None] * 5
    carried = 2 if services.first is services.second else 0
    assert [thoughts_in(request.body) for request in second.requests[-2:]] == [carried, carried + 1]
