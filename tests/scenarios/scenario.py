"""A scenario as text: what a person sees and does, what the model says, what the files are then.

    title: …
    why: …                            # what it shows, in a sentence or two
    command: run                      # or chat: then each `person` line is typed
    options: [--verify, pytest -q]
    policy: |                         # a policy file of the operator's; the default where left out
    key: TEAM_ACCESS                  # config.yaml names the service and this variable; where left
                                      # out, the environment's usual variables do
    lists: [NAME, big]                # what the service says it offers; NAME is the model in use
    beforehand:                       # commands before, on the same service; NAME as above
      - {command: models, screen: [NAME, big]}
    files:                            # of the workspace, before; or `like: calculator` (examples/)
      a.txt: text
    conversation:                     # in order, as it happens
      - person: fix the failing tests
      - model: I look first.
        calls:
          - bash: {command: pytest -q}
      - sees: [2 failed]              # stands in what this turn of the model's was sent and the
        model: Two tests fail.        # one before was not
      - {asked: run this?, person: y} # typed when that stands on the screen: then on a terminal
      - service: 402                  # the model's service answers with an error
    screen: [Two tests fail., verified]  # on the terminal, in this order
    exit: 0
    afterwards:                       # further commands, each with what it prints; `service` as
                                      # above, for one that asks it
      - {command: apply last, screen: [changed 1 file], exit: 0}
    after:                            # files of the workspace at the end that are not as before;
      a.txt: other text               # null: gone. All others are as they were

Knows no provider: the same text is played on each.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from checkout import ROOT
from standins.exchange.replies import Behaviour, Call, Refuse, answer

HERE = Path(__file__).parent


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Step(_Strict):
    """Of the person, of the model, or of its service."""

    person: str | None = None
    asked: str | None = None
    service: int | None = None
    model: str | None = None
    calls: list[dict[str, dict[str, Any]]] = Field(default_factory=list)
    sees: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _of_one(self) -> Self:
        model = self.model is not None or bool(self.calls)
        if [self.person is not None, model, self.service is not None].count(True) != 1:
            raise ValueError("a step is the person's, the model's or the service's")
        if self.person is not None and self.sees:
            raise ValueError("what a person sees stands under `screen`")
        if self.asked is not None and self.person is None:
            raise ValueError("only a person is asked")
        return self

    def behaviour(self) -> Behaviour:
        """Of the stand-in."""
        if self.service is not None:
            return Refuse(self.service)
        calls = [Call(tool, made) for call in self.calls for tool, made in call.items()]
        return answer(*([self.model] if self.model else []), *calls)


class Aside(_Strict):
    """A command before or after the one that the scenario is about."""

    command: str
    service: int | None = None
    screen: list[str] = Field(default_factory=list)
    exit: int = 0


class Scenario(_Strict):
    title: str
    why: str
    command: Literal["run", "chat"]
    options: list[str] = Field(default_factory=list)
    policy: str | None = None
    like: str | None = None
    key: str | None = None
    lists: list[str] = Field(default_factory=list)
    beforehand: list[Aside] = Field(default_factory=list)
    files: dict[str, str] = Field(default_factory=dict)
    conversation: list[Step]
    screen: list[str]
    exit: int
    afterwards: list[Aside] = Field(default_factory=list)
    after: dict[str, str | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _begins_with_a_person(self) -> Self:
        if not self.conversation or self.conversation[0].person is None:
            raise ValueError("a conversation begins with the person")
        if self.command == "run" and len(self.typed()) > 1:
            raise ValueError("in a run the person says one thing, and answers what is asked")
        return self

    def typed(self) -> list[str]:
        """What the person says unasked."""
        said = (step for step in self.conversation if step.asked is None)
        return [step.person for step in said if step.person is not None]

    def answers(self) -> list[tuple[str, str]]:
        """What the person is asked, and says to it."""
        return [(step.asked, step.person or "") for step in self.conversation if step.asked]

    def turns(self) -> list[Step]:
        """The model's, and its service's: one for each request."""
        return [step for step in self.conversation if step.person is None]

    def before(self) -> Mapping[str, bytes]:
        """The workspace, by path."""
        files = {name: text.encode() for name, text in self.files.items()}
        if self.like is not None:
            root = ROOT / "examples" / self.like
            files |= {
                str(path.relative_to(root)): path.read_bytes()
                for path in root.rglob("*")
                if path.is_file() and "cache" not in str(path)
            }
        return files


def load(path: Path) -> Scenario:
    return Scenario.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
