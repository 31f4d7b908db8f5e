"""``moonpool models``."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from agent import exit_codes
from agent.cli.arguments import Command, Given, optional_argument
from agent.cli.options import AS_JSON
from agent.config import environment
from agent.models.interface import Retrying, StreamEvent
from agent.models.listing import OfferedModel
from agent.models.open_model import offered
from agent.preparation import model as model_setup
from agent.terminal.screen import open_screen
from agent.terminal.table import Column, print_table
from agent.untrusted_text import one_line

_LONGEST = 120
"""Characters of a name that are shown; it comes from the service."""
_COLUMNS = (
    Column(head="MODEL"),
    Column(head="NAME", least=10, drop=2),
    Column(head="READS", drop=1, right=True),
    Column(head="WRITES", drop=3, right=True),
    Column(head="", least=8, drop=4),
)


PROVIDER = optional_argument(
    "PROVIDER", "anthropic, openai, responses or script; without: as for -m."
)


def models(given: Given) -> int:
    """List what is offered; gives the exit code."""
    configuration = model_setup.load(root=None)
    provider = given[PROVIDER]
    if provider is None:
        provider = model_setup.model_name(None, configuration).partition(":")[0]
    found = offered(
        provider, environ=environment.environ(), configuration=configuration, on_event=_emit
    )
    if given[AS_JSON]:
        print(json.dumps({"provider": provider, "models": [_as_data(provider, m) for m in found]}))
        return exit_codes.DONE
    if provider == "script":
        print("script:FILE plays a recorded conversation from a file of yours; no service lists it")
        return exit_codes.DONE
    if not found:
        print(f"the service of {provider} lists no models", file=sys.stderr)
        return exit_codes.DONE
    _print_table(provider, found)
    return exit_codes.DONE


def _print_table(provider: str, found: Sequence[OfferedModel]) -> None:
    rows = [
        (
            one_line(f"{provider}:{model.id}", _LONGEST),
            one_line(model.name or "", _LONGEST),
            _tokens(model.context_tokens),
            _tokens(model.output_tokens),
            one_line("" if model.lifecycle == "active" else model.lifecycle, _LONGEST),
        )
        for model in found
    ]
    print_table(open_screen(environment.environ()), _COLUMNS, rows)


def _tokens(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _as_data(provider: str, model: OfferedModel) -> dict[str, object]:
    told = asdict(model)
    return {"model": f"{provider}:{told.pop('id')}", **told}


def _emit(event: StreamEvent) -> None:
    if isinstance(event, Retrying):
        print(one_line(f"{event.reason}: again in {event.wait_s:.0f} s"), file=sys.stderr)


COMMAND = Command(
    models,
    (PROVIDER, AS_JSON),
    """

    Example: moonpool models anthropic
    """,
)
