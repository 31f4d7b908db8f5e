"""The Messages API as Bedrock and as Vertex AI have it.

A dialect checks what its service checks, and gives the Messages API's body that the request stands
for; answers go out in its own framing. Sources: the SDK's ``lib/bedrock`` and ``lib/vertex``
(anthropic 2.11.0) and the pages of both services on Claude.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from standins.anthropic import events, eventstream, rules, sigv4
from standins.anthropic.server import StandIn
from standins.exchange.faults import FaultError
from standins.exchange.replies import Answer, Refuse
from standins.exchange.server import Context
from standins.exchange.server import Event as Sent

_BEDROCK_PATH = re.compile(r"/model/([^/]+)/(invoke|invoke-with-response-stream)")
_VERTEX_PATH = re.compile(
    r"/v1/projects/([^/]+)/locations/([^/]+)/publishers/anthropic/models/([^/]+)"
    r":(rawPredict|streamRawPredict)"
)
_VERSION = re.compile(r"(bedrock-|vertex-)?\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bedrock:
    access_key: str = "AKIDEXAMPLE"
    secret_key: str = "wJalrXUtnFEMI-an-example"
    bearer: str = ""
    """A Bedrock API key that is taken in place of a signature."""
    region: str = "eu-central-1"
    stream_type: str = eventstream.CONTENT_TYPE
    request_id_header: str = "x-amzn-requestid"

    def body(self, path: str, headers: Mapping[str, str], raw: bytes, body: Any) -> Any:
        match = _BEDROCK_PATH.fullmatch(path)
        if match is None:
            raise FaultError(f"{path} is not there", 404)
        if not (self.bearer and headers.get("authorization") == f"Bearer {self.bearer}"):
            sigv4.check(
                path,
                headers,
                raw,
                access_key=self.access_key,
                secret_key=self.secret_key,
                region=self.region,
            )
        plain = _without_version(body, stream_too=True)
        name = unquote(match[1]).rpartition("anthropic.")[2]
        streaming = match[2] != "invoke"
        return {**plain, "model": re.sub(r"-v\d+(:\d+)?\Z", "", name), "stream": streaming}

    def encoded(self, event: events.Event) -> bytes:
        kind, fields = event
        if kind == "error":
            return eventstream.exception(fields["error"]["type"], fields["error"]["message"])
        if kind == "message_stop":
            fields = {**fields, "amazon-bedrock-invocationMetrics": {"inputTokenCount": 1}}
        return eventstream.chunk(json.dumps({"type": kind, **fields}, ensure_ascii=False))

    def refusal(self, message: str) -> Mapping[str, Any]:
        return {"message": message}


@dataclass(frozen=True, slots=True, kw_only=True)
class Vertex:
    project: str = "my-project"
    region: str = "europe-west1"
    token: str = "ya29-example-token"
    stream_type: str = StandIn.stream_type
    request_id_header: str = StandIn.request_id_header

    def body(self, path: str, headers: Mapping[str, str], _raw: bytes, body: Any) -> Any:
        match = _VERTEX_PATH.fullmatch(path)
        if match is None:
            raise FaultError(f"{path} is not there", 404)
        if headers.get("authorization") != f"Bearer {self.token}":
            raise FaultError("Request had invalid authentication credentials.", 401)
        if (match[1], match[2]) != (self.project, self.region):
            raise FaultError("Permission denied on resource project", 403)
        plain = _without_version(body, stream_too=False)
        if plain.get("stream", False) is not (match[4] == "streamRawPredict"):
            raise FaultError("stream: does not go with the method")
        return {**plain, "model": unquote(match[3]).partition("@")[0]}

    def encoded(self, event: events.Event) -> bytes:
        return events.encoded(event)

    def refusal(self, message: str) -> Mapping[str, Any]:
        return {"error": {"code": 0, "message": message, "status": "AS_THE_TEST_ASKED"}}


Dialect = Bedrock | Vertex


class CloudStandIn(StandIn):
    """One of the two clouds. It lists no models."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__()
        self.dialect = dialect
        self.stream_type = dialect.stream_type
        self.request_id_header = dialect.request_id_header

    def meant(self, path: str, headers: Mapping[str, str], raw: bytes, body: Any) -> Any:
        return self.dialect.body(path, headers, raw, body)

    def check(self, path: str, headers: Mapping[str, str], body: Any) -> None:
        rules.check_body(body)

    def server_side(self, path: str) -> None:
        return None

    def events(self, answer: Answer, context: Context) -> list[Sent]:
        return [(event[0], self.dialect.encoded(event)) for event in events.events(answer, context)]

    def error_event(self, kind: str) -> bytes:
        error = {"type": kind, "message": "as the test asked"}
        return self.dialect.encoded(("error", {"error": error}))

    def fault_body(self, fault: FaultError | Refuse, request_id: str) -> Mapping[str, Any]:
        return self.dialect.refusal(fault.message)


def _without_version(body: Any, *, stream_too: bool) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise FaultError("Input should be a valid dictionary")
    if "model" in body or (stream_too and "stream" in body):
        raise FaultError("#: extraneous key [model] is not permitted")
    if not _VERSION.fullmatch(str(body.get("anthropic_version"))):
        raise FaultError("anthropic_version: Field required")
    return {key: value for key, value in body.items() if key != "anthropic_version"}
