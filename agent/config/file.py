"""``config.yaml``, from a file on the disk to values: strict, every error in its place.

Owns who may write the file, and how what is wrong in it is told. Refuses to know where an operator
keeps it (the CLI), and what looks like a secret (`agent.config.secrets`).
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import pydantic

from agent.config.form import KEYS_OF_SERVICE, SECTIONS, AnthropicForm, ConfigForm
from agent.config.secrets import NO_KEYS_HERE, SECRET_NAME, leaks, masked, without_keys
from agent.config.values import (
    AnthropicApi,
    AnthropicService,
    Bedrock,
    Configuration,
    OpenAIService,
    TelemetryConfig,
    Vertex,
)
from agent.errors import UsageError
from agent.untrusted_text import one_line
from policies.errors import PolicyError, Where
from policies.file.document import MAX_FILE_BYTES, Document, KeyPath, decoded, parse, spelled
from policies.file.fields import check_version, told, unknown_key, value_at
from policies.operator.check import shown

_CALLED: Final = "configuration"
_SCRIPT: Final = "script:"
_MOST_SHOWN: Final = 5
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


class ConfigurationError(UsageError):
    """The configuration can't be used; the message has each complaint in its place."""


def load(path: Path) -> Configuration:
    """Read a configuration.

    Raises:
        ConfigurationError: it can't be read, others may write it, or something in it is wrong.
    """
    text = ""
    try:
        raw = _read(path)
        text = decoded(raw, file=str(path), called=_CALLED)
        return _decoded(parse(text, file=str(path), called=_CALLED), path)
    except PolicyError as error:
        raise ConfigurationError(_in_words(error, text)) from None


def _read(path: Path) -> bytes:
    where = Where(file=str(path), line=0)
    try:
        # Not to wait for the writer of a pipe; what is looked at is what is read.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(handle, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PolicyError("is not a file", where=where)
            refuse_other_writers(path, status, where)
            return stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PolicyError(f"can't be read: {reason}", where=where) from error


def refuse_other_writers(path: Path, status: os.stat_result, where: Where) -> None:
    """The file says where keys are sent: nobody else may write it, or put another in its place.

    Raises:
        PolicyError: someone else may.
    """
    folder = Path(os.path.realpath(path)).parent
    around = os.stat(folder)
    for what, found in ((str(path), status), (str(folder), around)):
        if found.st_uid not in {os.geteuid(), 0}:
            raise PolicyError(
                f"belongs to another user (uid {found.st_uid}, {what}), who decides what it says: "
                "keep a copy of your own",
                where=where,
            )
        sticky = bool(found.st_mode & stat.S_ISVTX)
        if found.st_mode & _WRITABLE_BY_OTHERS and not (found is around and sticky):
            raise PolicyError(f"may be written by others: chmod go-w {what}", where=where)


def _decoded(document: Document, path: Path) -> Configuration:
    leaked = list(leaks(document))
    if leaked:
        raise PolicyError.together(leaked)
    check_version(document, called=_CALLED)
    complaints = [*_blank(document), *_not_of_the_service(document)]
    file: ConfigForm | None = None
    try:
        file = ConfigForm.model_validate(document.data)
    except pydantic.ValidationError as invalid:
        complaints += [_complaint(detail, document) for detail in invalid.errors(include_url=False)]
    if complaints:
        raise PolicyError.together(complaints)
    assert file is not None
    return _values(file, document, path)


def _blank(document: Document) -> Iterator[PolicyError]:
    """A complaint about each key with nothing behind it, which leaves open what was meant."""
    for path, where in document.values.items():
        if not path or path == ("version",) or path[:-1] not in SECTIONS:
            continue
        known = path[-1] in SECTIONS[path[:-1]].model_fields
        if known and value_at(document.data, path) is None:
            yield PolicyError("expected a value, or no key", where=where, key=spelled(path))


def _not_of_the_service(document: Document) -> Iterator[PolicyError]:
    at: KeyPath = ("providers", "anthropic")
    said = value_at(document.data, at)
    if not isinstance(said, dict):
        return
    service = said.get("service", "api")
    if not isinstance(service, str) or service not in KEYS_OF_SERVICE:
        return
    for key in said:
        services = [name for name, keys in KEYS_OF_SERVICE.items() if key in keys]
        if services and service not in services:
            goes = " or ".join(services)
            found = f"goes with `service: {goes}`, and this is {service}" + (
                ": its SDK finds the credentials" if key.endswith("_env") else ""
            )
            yield PolicyError(found, where=document.keys[(*at, key)], key=spelled((*at, key)))
    if {"api_key_env", "auth_token_env"} <= said.keys():
        path = (*at, "auth_token_env")
        message = "beside api_key_env: only one of them would be used, so name one"
        yield PolicyError(message, where=document.keys[path], key=spelled(path))


def _complaint(detail: Mapping[str, Any], document: Document) -> PolicyError:
    path, message = told(detail, document.data, _about_unknown)
    where = document.where(path)
    key = str(path[-1])
    match detail["type"]:
        case "extra_forbidden":
            where = document.keys.get(path, where)
        case "missing":
            pass
        case _ if key.endswith("_env"):
            # Never with the value: it may be a key of a shape that nobody knows.
            message = (
                f"is not the name of an environment variable (capitals, digits, _); {NO_KEYS_HERE}"
            )
        case "value_error" if key.endswith(("_url", "_endpoint")):
            message = str(detail["ctx"]["error"])
        case "string_pattern_mismatch":
            message = f"is not the name of a {key}"
    return PolicyError(message, where=where, key=spelled(path))


def _about_unknown(path: KeyPath) -> str:
    key = str(path[-1])
    if SECRET_NAME.search(key):
        return f"unknown key; {NO_KEYS_HERE}"
    return unknown_key(key, SECTIONS[path[:-1]].model_fields)


def _in_words(error: PolicyError, text: str) -> str:
    """Every complaint with its line, in which whatever may be a secret is masked."""
    safe = masked(text)
    complaints = [error, *error.others]
    lines = [
        shown(
            PolicyError(
                one_line(without_keys(each.message)), where=each.where, key=one_line(each.key, 80)
            ),
            safe,
        )
        for each in complaints[:_MOST_SHOWN]
    ]
    if len(complaints) > _MOST_SHOWN:
        lines.append(f"and {len(complaints) - _MOST_SHOWN} more")
    return "\n".join(lines)


def _values(file: ConfigForm, document: Document, path: Path) -> Configuration:
    telemetry = file.telemetry
    folder = path.absolute().parent
    policy = file.policy
    if policy is not None and ("/" in policy or policy.endswith((".yaml", ".yml"))):
        policy = str(_path(policy, folder))
    model = file.model
    if model is not None and model.startswith(_SCRIPT):
        # Not from wherever the command is called: that may be the workspace.
        model = f"{_SCRIPT}{_path(model.removeprefix(_SCRIPT), folder)}"
    return Configuration(
        file=path.absolute(),
        lines={spelled(at): where.line for at, where in document.keys.items()},
        model=model,
        policy=policy,
        anthropic=_service(file.providers.anthropic),
        openai=OpenAIService(**dict(file.providers.openai)),
        prices=None if file.prices is None else _path(file.prices, folder),
        instructions=None if file.instructions is None else _path(file.instructions, folder),
        skills=None if file.skills is None else _path(file.skills, folder),
        context_files=file.context_files,
        max_output_tokens=file.max_output_tokens,
        tool_form=file.tool_form,
        cache_budget_bytes=file.cache_budget,
        telemetry=None if telemetry is None else TelemetryConfig(**dict(telemetry)),
    )


_SERVICES: Final[Mapping[str, type[AnthropicApi | Bedrock | Vertex]]] = {
    "api": AnthropicApi,
    "bedrock": Bedrock,
    "vertex": Vertex,
}


def _service(said: AnthropicForm) -> AnthropicService:
    made = _SERVICES[said.service]
    return made(**{field.name: getattr(said, field.name) for field in fields(made)})


def _path(text: str, folder: Path) -> Path:
    """A path as it is written, from the configuration's folder; ``~`` is the operator's home."""
    try:
        return folder / Path(text).expanduser()
    except RuntimeError:  # no such user
        return folder / text
