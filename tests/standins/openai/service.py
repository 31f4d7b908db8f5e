"""What both of OpenAI's stand-ins share: keys, errors, a list of models, counted prefixes."""

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from standins.exchange.faults import FaultError
from standins.exchange.replies import Refuse
from standins.exchange.server import Exchange
from standins.openai import faults
from standins.openai.faults import OpenAIFaultError
from standins.openai.prefixes import Prefixes
from standins.openai.rules import check_headers


class OpenAIService(Exchange):
    """A context manager; every request for an answer needs a queued behaviour."""

    request_id_header = "x-request-id"
    ping = b": keep-alive\n\n"
    path: ClassVar[str]
    """Of requests for an answer, below the base URL."""

    def __init__(self, *, key: str, models: Collection[str], takes_any_key: bool = False) -> None:
        super().__init__(key=key)
        self.prefixes = Prefixes()
        self.takes_any_key = takes_any_key
        self.models = [
            {"id": name, "object": "model", "created": 1_790_000_000, "owned_by": "system"}
            for name in sorted(models)
        ]

    @property
    def url(self) -> str:
        return f"{self.host}/v1"

    @abstractmethod
    def check_body(self, body: Any) -> None:
        """Raise the fault that the API would answer, if any."""

    def check(self, path: str, headers: Mapping[str, str], body: Any) -> None:
        if not self.takes_any_key:
            check_headers(headers, self.key)
        if path == "/v1/models":
            return
        if path != f"/v1{self.path}":
            raise OpenAIFaultError(f"Invalid URL (POST {path})", 404)
        self.check_body(body)

    def server_side(self, path: str) -> Mapping[str, Any] | None:
        if path == "/v1/models":
            return {"object": "list", "data": list(self.models)}
        return None

    def fault_body(self, fault: FaultError | Refuse, request_id: str) -> Mapping[str, Any]:
        match fault:
            case OpenAIFaultError():
                return faults.body(fault.status, fault.message, param=fault.param, code=fault.code)
            case Refuse():
                return faults.body(fault.status, fault.message, code=fault.code)
            case _:
                return faults.body(fault.status, fault.message)
