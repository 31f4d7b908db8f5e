"""Several policy files, from the outermost parent to the child, made into one Policy.

Owns what `extends` means: scalars replace, lists replace unless ``+`` or ``-`` is written, mappings
merge key by key, examples are not inherited, and a child's limit or budget (money is one) may
exceed its parent's only if the child says so in ``widen``. What a child writes out otherwise
(``exec_workspace: true``, an emptied ``protect``) is said by writing it; `policy diff` shows it.
Refuses to know where files come from (`loading`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.errors import PolicyError, Where
from policies.file.document import Document, KeyPath, spelled
from policies.file.quantities import spelled_duration, spelled_size
from policies.file.schema import CommandEntry, Edit, PolicyFile
from policies.policy import (
    BudgetLimits,
    CommandRule,
    ContainerLimits,
    Examples,
    ExportRules,
    History,
    PathRules,
    Policy,
    SetupRules,
    WorkspaceRules,
)

_LIMITS = ("cpus", "memory", "pids", "disk", "command_timeout", "output", "time")
_BUDGET = ("turns", "input_tokens", "output_tokens", "usd")
_PROTECTING = frozenset({"paths.protect", "workspace.exclude", "export.refuse"})
"""Lists whose entries take away: unsaid, they are empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLayer:
    """One file of a chain."""

    document: Document
    model: PolicyFile


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedKeys:
    """What a chain of files says, by dotted key; what none of them says is not in it."""

    lists: Mapping[str, tuple[str, ...]]
    scalars: Mapping[str, Any]
    commands: tuple[CommandRule, ...] | None
    env: Mapping[str, str] | None
    places: Mapping[str, Where]


def compose(layers: Sequence[PolicyLayer]) -> Policy:
    """The policy of the last layer. The first is the built-in ground that no one extends.

    Raises:
        PolicyError: a layer takes away what is not there, or widens a bound without saying so.
    """
    said = gather(layers, ground=1)
    lists, scalars = said.lists, said.scalars
    leaf = layers[-1]
    return Policy(
        name=leaf.model.name,
        where=Where(file=leaf.document.file, line=0),
        image=scalars["image"],
        tools=lists["tools"],
        server_tools=lists["server_tools"],
        commands=said.commands or (),
        exec_workspace=scalars["exec_workspace"],
        paths=PathRules(
            write=lists["paths.write"],
            read=lists.get("paths.read"),
            protect=lists["paths.protect"],
        ),
        workspace=WorkspaceRules(
            exclude=lists["workspace.exclude"],
            history=History(scalars["workspace.history"]),
            max_bytes=scalars["workspace.max_bytes"],
        ),
        setup=SetupRules(commands=lists["setup.commands"], network=lists["setup.network"]),
        env=said.env or {},
        limits=ContainerLimits(
            cpus=float(scalars["limits.cpus"]),
            memory_bytes=scalars["limits.memory"],
            pids=scalars["limits.pids"],
            disk_bytes=scalars["limits.disk"],
            command_timeout_s=scalars["limits.command_timeout"],
            output_bytes=scalars["limits.output"],
            time_s=scalars["limits.time"],
        ),
        budget=BudgetLimits(
            turns=scalars["budget.turns"],
            input_tokens=scalars["budget.input_tokens"],
            output_tokens=scalars["budget.output_tokens"],
            usd=scalars.get("budget.usd"),
        ),
        export=ExportRules(
            max_bytes=scalars["export.max_bytes"],
            refuse=lists["export.refuse"],
            ignore=lists["export.ignore"],
        ),
        examples=Examples(allow=leaf.model.examples.allow, deny=leaf.model.examples.deny),
        places=said.places,
    )


def gather(layers: Sequence[PolicyLayer], *, ground: int = 0) -> ComposedKeys:
    """What a chain says, the outermost parent first.

    Args:
        ground: how many of the layers come first that nobody wrote: their bounds may be widened.

    Raises:
        PolicyError: as for `compose`.
    """
    places: dict[str, Where] = {}
    lists = _Lists(places)
    scalars: dict[str, Any] = {}
    env: dict[str, str] | None = None
    commands: tuple[CommandRule, ...] | None = None
    for index, layer in enumerate(layers):
        if index > ground:
            _refuse_wider(layer, scalars, places)
        commands = _commands(commands, layer, places)
        lists.take(layer)
        _take_scalars(layer, scalars, places)
        if "env" in layer.model.model_fields_set:
            env = (env or {}) | layer.model.env
            places["env"] = layer.document.where(("env",))
    return ComposedKeys(
        lists=lists.values, scalars=scalars, commands=commands, env=env, places=places
    )


class _Lists:
    """The plain lists of a policy as they build up; by dotted key."""

    def __init__(self, places: dict[str, Where]) -> None:
        self.values: dict[str, tuple[str, ...]] = {}
        self._places = places

    def take(self, layer: PolicyLayer) -> None:
        model = layer.model
        edits: dict[KeyPath, Edit[Any, Any] | None] = {
            ("tools",): model.tools,
            ("server_tools",): model.server_tools,
            ("paths", "write"): model.paths.write,
            ("paths", "read"): model.paths.read,
            ("paths", "protect"): model.paths.protect,
            ("workspace", "exclude"): model.workspace.exclude,
            ("setup", "commands"): model.setup.commands,
            ("setup", "network"): model.setup.network,
            ("export", "refuse"): model.export.refuse,
            ("export", "ignore"): model.export.ignore,
        }
        for path, edit in edits.items():
            if edit is not None:
                self._apply(layer.document, path, edit)

    def _apply(self, document: Document, path: KeyPath, edit: Edit[Any, Any]) -> None:
        key = ".".join(str(part) for part in path)
        now: list[str] = list(self.values.get(key, ()))
        if edit.set is not None:
            now = list(edit.set)
            self._places[key] = document.where(path)
        elif key not in self.values and (edit.remove or key not in _PROTECTING):
            _refuse_baseless(document, path, edit)
        for index, item in enumerate(edit.remove):
            if item not in now:
                _refuse_removal(document, path, index, item)
            now = [kept for kept in now if kept != item]
        now += [item for item in edit.add if item not in now]
        self.values[key] = tuple(dict.fromkeys(now))
        self._places.setdefault(key, document.where(_signed(path, "+")))


def _refuse_baseless(document: Document, path: KeyPath, edit: Edit[Any, Any]) -> None:
    """A list that nothing below says is everything: adding to it would make it a short one."""
    signed = _signed(path, "-" if edit.remove else "+")
    if path == ("paths", "read"):
        message = "there is no list to change: without `read`, everything may be read"
    else:
        message = "there is no list to change: write the whole of it, without the sign"
    raise PolicyError(message, where=document.where(signed), key=spelled(signed))


def _signed(path: KeyPath, sign: str) -> KeyPath:
    return (*path[:-1], f"{sign}{path[-1]}")


def _refuse_removal(document: Document, path: KeyPath, index: int, item: str) -> None:
    at: KeyPath = (*_signed(path, "-"), index)
    raise PolicyError(
        f"{item!r} is not in the list that it would be taken from",
        where=document.where(at),
        key=spelled(at),
    )


def _commands(
    inherited: tuple[CommandRule, ...] | None, layer: PolicyLayer, places: dict[str, Where]
) -> tuple[CommandRule, ...] | None:
    edit = layer.model.commands
    if edit is None:
        return inherited
    document = layer.document
    if edit.set is not None:
        places["commands"] = document.where(("commands",))
        return tuple(_rule(entry, document, ("commands", i)) for i, entry in enumerate(edit.set))
    if inherited is None:
        _refuse_baseless(document, ("commands",), edit)
    now = list(inherited or ())
    for index, program in enumerate(edit.remove):
        if all(rule.program != program for rule in now):
            _refuse_removal(document, ("commands",), index, program)
        now = [rule for rule in now if rule.program != program]
    now += [_rule(entry, document, ("+commands", i)) for i, entry in enumerate(edit.add)]
    places.setdefault("commands", document.where(("+commands",)))
    return tuple(now)


def _rule(entry: CommandEntry, document: Document, path: KeyPath) -> CommandRule:
    return CommandRule(
        program=entry.program,
        args=entry.args,
        ask=entry.ask,
        forbid=entry.forbid,
        require=entry.require,
        where=document.where(path),
        key=spelled(path),
    )


def _take_scalars(layer: PolicyLayer, scalars: dict[str, Any], places: dict[str, Where]) -> None:
    model = layer.model
    sections: Mapping[str, Any] = {
        "": model,
        "workspace.": model.workspace,
        "limits.": model.limits,
        "budget.": model.budget,
        "export.": model.export,
    }
    names: Mapping[str, tuple[str, ...]] = {
        "": ("image", "exec_workspace"),
        "workspace.": ("history", "max_bytes"),
        "limits.": _LIMITS,
        "budget.": _BUDGET,
        "export.": ("max_bytes",),
    }
    for prefix, section in sections.items():
        for name in names[prefix]:
            value = getattr(section, name)
            # `usd: null` says something; a null elsewhere does not pass the schema's types.
            if value is None and not (name == "usd" and "usd" in section.model_fields_set):
                continue
            scalars[prefix + name] = value
            places[prefix + name] = layer.document.where(tuple(f"{prefix}{name}".split(".")))


def _refuse_wider(
    layer: PolicyLayer, inherited: Mapping[str, Any], places: Mapping[str, Where]
) -> None:
    for section, names, model in (
        ("limits", _LIMITS, layer.model.limits),
        ("budget", _BUDGET, layer.model.budget),
    ):
        for name in names:
            key = f"{section}.{name}"
            value, before = getattr(model, name), inherited.get(key)
            if name not in model.model_fields_set or before is None or name in model.widen:
                continue
            # A null lifts the bound altogether.
            if value is not None and value <= before:
                continue
            raise PolicyError(
                f"is more than the {_spelled_limit(name, before)} of the policy it extends "
                f"({places[key]}); if that is meant, write `widen: [{name}]` beside it",
                where=layer.document.where((section, name)),
                key=key,
            )


def _spelled_limit(name: str, value: float) -> str:
    if name in {"memory", "disk", "output"}:
        return spelled_size(int(value))
    if name in {"command_timeout", "time"}:
        return spelled_duration(value)
    return f"{value:.12g}"
