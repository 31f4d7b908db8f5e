"""``config.yaml``, from a file on the disk to values: strict, every error in its place.

Owns the form of the file, who may write it, and that no secret stands in it or is shown out of it.
Refuses to know where an operator keeps it (the CLI).
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import pydantic

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
from policies.file.complaint import check_version, sentence, unknown_key, value_at
from policies.file.document import MAX_FILE_BYTES, Document, KeyPath, decoded, parse, spelled
from policies.operator.check import shown

_CALLED: Final = "configuration"
_SCRIPT: Final = "script:"
_MOST_SHOWN: Final = 5
_WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH

_LOOKS_LIKE_KEY: Final = re.compile(
    r"\b(?:sk|pk|rk|sess)[-_][A-Za-z0-9_-]{16,}"
    r"|\b(?:AKIA|ASIA|ABSK)[A-Za-z0-9+/=]{16,}"
    r"|\b(?:gh[opsur]_|github_pat_|hf_|gsk_|xai-|ya29\.|xox[abpr]-|AIza)[A-Za-z0-9_-]{16,}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.|-----BEGIN |\b(?:Bearer|Basic)\s+\S{8,}"
)
_SECRET_NAME: Final = re.compile(r"(?i)key|token|secret|passw|credential|auth|header")
_NAMED_SECRET: Final = re.compile(
    r"(?P<name>[\w.-]*(?i:key|token|secret|passw|credential|auth|header)[\w.-]*[\"']?[ \t]*:[ \t]*)"
    r"(?:(?<=_env: )(?P<variable>[A-Z_][A-Z0-9_]*)(?=[ \t]*(?:[,}#]|$))|(?P<rest>[^\n]*))",
    re.MULTILINE,
)
_IN_URL: Final = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_VARIABLE: Final = re.compile(r"[A-Z_][A-Z0-9_]{0,127}\Z")

_NO_KEYS_HERE: Final = (
    "a key is never written into this file: put it into an environment variable"
    " and write that variable's name, as in `api_key_env: ANTHROPIC_API_KEY`"
)
_LEAKED: Final = (
    f"this looks like a key itself; {_NO_KEYS_HERE}; others may have read it: revoke it"
)


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
    """It says where keys are sent: whoever may write it, or put another in its place, may say.

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


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True)


def _url(text: str) -> str:
    if not (text.isascii() and text.isprintable()) or set(text) & set(" \\\"'<>"):
        raise ValueError("holds a character that no URL has")
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is not the URL of a service: write it as https://HOST")
    if "@" in parts.netloc:
        raise ValueError("holds credentials: take them out; a key is named by its variable")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("has a query or a fragment: only https://HOST/PATH can be used")
    try:
        _ = parts.port
    except ValueError as error:
        raise ValueError("has a port that is none") from error
    return text


def _plain(text: str) -> str:
    if not text.strip() or text != text.strip() or not text.isprintable():
        raise ValueError("is empty, or holds characters that can't be seen")
    return text


def _variable(text: str) -> str:
    if not _VARIABLE.match(text):
        raise ValueError("no variable")
    return text


_Url = Annotated[str, pydantic.AfterValidator(_url)]
_Plain = Annotated[str, pydantic.AfterValidator(_plain)]
_Variable = Annotated[str, pydantic.AfterValidator(_variable)]
# They become part of a host name or of a path.
_Region = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
_Project = Annotated[str, pydantic.Field(pattern=r"^[a-z0-9][a-z0-9.:-]{0,99}$")]


class _Anthropic(_Strict):
    service: Literal["api", "bedrock", "vertex"] = "api"
    base_url: _Url | None = None
    api_key_env: _Variable | None = None
    auth_token_env: _Variable | None = None
    region: _Region | None = None
    project: _Project | None = None


class _OpenAI(_Strict):
    base_url: _Url | None = None
    api_key_env: _Variable | None = None


class _Providers(_Strict):
    anthropic: _Anthropic = pydantic.Field(default_factory=_Anthropic)
    openai: _OpenAI = pydantic.Field(default_factory=_OpenAI)


class _Telemetry(_Strict):
    otlp_endpoint: _Url
    headers_env: _Variable | None = None


class _ConfigFile(_Strict):
    version: Literal[1]
    model: _Plain | None = None
    policy: _Plain | None = None
    providers: _Providers = pydantic.Field(default_factory=_Providers)
    prices: _Plain | None = None
    instructions: _Plain | None = None
    context_files: bool = True
    telemetry: _Telemetry | None = None


_SECTIONS: Final[Mapping[KeyPath, type[pydantic.BaseModel]]] = {
    (): _ConfigFile,
    ("providers",): _Providers,
    ("providers", "anthropic"): _Anthropic,
    ("providers", "openai"): _OpenAI,
    ("telemetry",): _Telemetry,
}

_OF_SERVICE: Final = {
    "api": {"api_key_env", "auth_token_env"},
    "bedrock": {"region"},
    "vertex": {"region", "project"},
}
"""The keys of ``providers.anthropic`` that only some services have."""


def _decoded(document: Document, path: Path) -> Configuration:
    leaked = list(_leaked(document))
    if leaked:
        raise _together(leaked)
    check_version(document, called=_CALLED)
    complaints = [*_blank(document), *_not_of_the_service(document)]
    file: _ConfigFile | None = None
    try:
        file = _ConfigFile.model_validate(document.data)
    except pydantic.ValidationError as invalid:
        complaints += [_complaint(detail, document) for detail in invalid.errors(include_url=False)]
    if complaints:
        raise _together(complaints)
    assert file is not None
    return _values(file, document, path)


def _together(complaints: list[PolicyError]) -> PolicyError:
    complaints.sort(key=lambda error: (error.where.line, error.where.column))
    first, rest = complaints[0], tuple(complaints[1:])
    return PolicyError(first.message, where=first.where, key=first.key, others=rest)


def _leaked(document: Document) -> Iterator[PolicyError]:
    """Every value, and every key, that is a secret in the clear."""
    for path, where in document.keys.items():
        if _LOOKS_LIKE_KEY.search(str(path[-1])):
            yield PolicyError(_LEAKED, where=where, key=spelled(path[:-1]))
    for path, where in document.values.items():
        value = value_at(document.data, path)
        if isinstance(value, str) and _LOOKS_LIKE_KEY.search(value):
            yield PolicyError(_LEAKED, where=where, key=spelled(path))


def _blank(document: Document) -> Iterator[PolicyError]:
    """``model:`` with nothing behind it says nothing, and so does not say what was meant."""
    for path, where in document.values.items():
        if not path or path == ("version",) or path[:-1] not in _SECTIONS:
            continue
        known = path[-1] in _SECTIONS[path[:-1]].model_fields
        if known and value_at(document.data, path) is None:
            yield PolicyError("expected a value, or no key", where=where, key=spelled(path))


def _not_of_the_service(document: Document) -> Iterator[PolicyError]:
    at: KeyPath = ("providers", "anthropic")
    said = value_at(document.data, at)
    if not isinstance(said, dict):
        return
    service = said.get("service", "api")
    if not isinstance(service, str) or service not in _OF_SERVICE:
        return
    for key in said:
        services = [name for name, keys in _OF_SERVICE.items() if key in keys]
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
    path: KeyPath = tuple(detail["loc"])
    where = document.where(path)
    match detail["type"]:
        case "extra_forbidden":
            where = document.keys.get(path, where)
            message = _about_unknown(path)
        case "missing":
            message = "is missing"
        case _ if str(path[-1]).endswith("_env"):
            # Never with the value: it may be a key of a shape that nobody knows.
            message = (
                f"is not the name of an environment variable (capitals, digits, _); {_NO_KEYS_HERE}"
            )
        case "value_error" if str(path[-1]).endswith(("_url", "_endpoint")):
            message = str(detail["ctx"]["error"])
        case "string_pattern_mismatch":
            message = f"is not the name of a {path[-1]}"
        case kind:
            message = sentence(kind, detail, value_at(document.data, path))
    return PolicyError(message, where=where, key=spelled(path))


def _about_unknown(path: KeyPath) -> str:
    key = str(path[-1])
    if _SECRET_NAME.search(key):
        return f"unknown key; {_NO_KEYS_HERE}"
    return unknown_key(key, _SECTIONS[path[:-1]].model_fields)


def _in_words(error: PolicyError, text: str) -> str:
    """Every complaint with its line, in which whatever may be a secret is blotted out."""
    safe = blotted(text)
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


def blotted(text: str) -> str:
    """Text without what may be a secret; of the same length, so that carets stay in place."""

    def blot_rest(found: re.Match[str]) -> str:
        rest = found["rest"]
        return found.group() if rest is None else found["name"] + "•" * len(rest)

    return _NAMED_SECRET.sub(blot_rest, without_keys(text))


def without_keys(text: str) -> str:
    """Only what is a secret by its shape is blotted out: keys, and what stands before @ in URLs."""
    for shape in (_LOOKS_LIKE_KEY, _IN_URL):
        text = shape.sub(lambda found: "•" * len(found.group()), text)
    return text


def _values(file: _ConfigFile, document: Document, path: Path) -> Configuration:
    telemetry = file.telemetry
    openai = file.providers.openai
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
        openai=OpenAIService(base_url=openai.base_url, api_key_env=openai.api_key_env),
        prices=None if file.prices is None else _path(file.prices, folder),
        instructions=None if file.instructions is None else _path(file.instructions, folder),
        context_files=file.context_files,
        telemetry=None
        if telemetry is None
        else TelemetryConfig(
            otlp_endpoint=telemetry.otlp_endpoint, headers_env=telemetry.headers_env
        ),
    )


def _service(said: _Anthropic) -> AnthropicService:
    match said.service:
        case "api":
            return AnthropicApi(
                base_url=said.base_url,
                api_key_env=said.api_key_env,
                auth_token_env=said.auth_token_env,
            )
        case "bedrock":
            return Bedrock(base_url=said.base_url, region=said.region)
        case "vertex":
            return Vertex(base_url=said.base_url, region=said.region, project=said.project)


def _path(text: str, folder: Path) -> Path:
    """As written, from the folder of the configuration; ``~`` is the operator's home."""
    try:
        return folder / Path(text).expanduser()
    except RuntimeError:  # no such user
        return folder / text
