"""What each command takes and which models are known, kept in a file of the user's cache.

To ask the commands themselves means importing all of them, half a second; a person who presses the
tabulator waits for nothing. The table is made again when a file that it was made of has changed.
Owns what a completion may not import. Knows no shell.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from agent.cli.verbs import VERBS, Verb, commands
from agent.config import environment

_CODE = Path(__file__).parents[1]
_FORM = 1
_LARGEST_CACHE = 4 << 20


class Known(NamedTuple):
    """A parameter, as its help shows it."""

    names: tuple[str, ...]
    """Empty for an argument."""
    metavar: str
    """What its value is; empty for a flag."""
    help: str
    many: bool


class Table(NamedTuple):
    parameters: dict[str, tuple[Known, ...]]
    """By the command's words, such as ``policy show``."""
    models: tuple[str, ...]
    """Those that have a price or stand in the configuration, as ``-m`` takes them."""
    providers: tuple[str, ...]
    images: tuple[str, ...]
    """Recipes of images to work in."""
    findings: tuple[str, ...]
    """What ``--accept-risk`` takes."""


def load() -> Table:
    """The table, from the cache where it still holds."""
    cache = environment.cache_directory() / "completion.json"
    try:
        with cache.open("rb") as file:
            kept = json.loads(file.read(_LARGEST_CACHE))
        if kept["form"] == _FORM and kept["of"] == _of() and _states(kept["seen"]):
            return _read(kept)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return _renew(cache)


def _of() -> list[str]:
    """Whose table it is: of this installation, under this configuration."""
    return [str(_CODE), str(environment.configuration_file()[0])]


def _renew(cache: Path) -> Table:
    from sandbox.cache import write_atomically

    # Looked at before what is read: a change in between makes the table again.
    seen = {str(path): _state(str(path)) for path in _sources()}
    table, prices = _made()
    if prices is not None:
        seen[str(prices)] = _state(str(prices))
    kept = {"form": _FORM, "of": _of(), "seen": seen, **table._asdict()}
    with contextlib.suppress(OSError):  # without a place for it, each time takes longer
        cache.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(cache, json.dumps(kept).encode())
    return table


def _read(kept: dict[str, Any]) -> Table:
    parameters = {
        words: tuple(Known(tuple(names), *others) for names, *others in each)
        for words, each in kept["parameters"].items()
    }
    return Table(parameters, *(tuple(kept[name]) for name in Table._fields[1:]))


def _states(seen: dict[str, object]) -> bool:
    return all(_state(path) == state for path, state in seen.items())


def _state(path: str) -> list[int] | None:
    """When a file, or the list of a folder's files, was changed last; None: there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return [status.st_mtime_ns, status.st_size]


def _sources() -> Iterator[Path]:
    """Every file that the table is made of, and the folders that may get another one."""
    yield environment.configuration_file()[0]
    models = _CODE.parent / "models"
    yield from (models / name for name in ("prices.yaml", "pricing.py", "open_model.py"))
    yield from (_CODE.parent / "risk" / "finding.py", _CODE.parents[1] / "images" / "recipes")
    for folder, below, names in os.walk(_CODE):
        below[:] = [name for name in below if not name.startswith("__")]  # what Python compiled
        yield Path(folder)
        yield from (Path(folder) / name for name in names if name.endswith(".py"))


def _made() -> tuple[Table, Path | None]:
    """The table, asked of the commands; and the operator's file of prices, where there is one."""
    from agent.models.open_model import providers
    from agent.risk.finding import KINDS
    from images import recipes

    models, prices = _models()
    return (
        Table(
            parameters={" ".join(words): _known(verb) for words, verb in commands(VERBS)},
            models=models,
            providers=tuple(form.partition(":")[0] for form in providers()),
            images=recipes.names(),
            findings=tuple(KINDS),
        ),
        prices,
    )


def _known(verb: Verb) -> tuple[Known, ...]:
    return tuple(
        Known((*it.names, *filter(None, [it.no])), it.metavar, it.help, it.many)
        for it in verb.load().parameters
    )


def _models() -> tuple[tuple[str, ...], Path | None]:
    from agent.config.values import Configuration
    from agent.errors import UsageError
    from agent.models.price_list import load as load_prices
    from agent.models.pricing import listed_models
    from agent.preparation import model as model_setup

    try:
        configuration = model_setup.load(root=None)
    except UsageError:
        configuration = Configuration()  # whoever uses it is told what is wrong
    named = list(listed_models())
    if configuration.prices is not None:
        with contextlib.suppress(UsageError):
            own = load_prices(configuration.prices)
            named += [entry.pattern for entry in own if "*" not in entry.pattern]
    if configuration.model is not None:
        named.append(configuration.model)
    return tuple(sorted(set(named))), configuration.prices
