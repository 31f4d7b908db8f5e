"""Claude on Bedrock and on Vertex AI: the real clients and the libraries of both clouds, against a
stand-in on loopback that speaks what each service speaks. No request leaves this machine: where
credentials are looked for is given, and the metadata services are switched off."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import parse_qs

import pytest
from anthropic.lib.aws import _auth as aws_auth
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agent.config.values import Bedrock, Configuration, Vertex
from agent.errors import (
    ModelAuth,
    ModelRefusedRequest,
    ModelTooLong,
    UsageError,
)
from agent.models.anthropic import cloud_errors
from agent.models.anthropic.client import AnthropicModel
from agent.models.http_errors import FailureKind
from agent.models.interface import (
    Discarded,
    Image,
    Request,
    Retrying,
    StreamEvent,
    Text,
    TextDelta,
    ToolResult,
    ToolUse,
)
from agent.models.open_model import offered, open_model
from fakes.providers import PNG, TOOL, user
from standins.anthropic import dialects, eventstream
from standins.anthropic.dialects import CloudStandIn
from standins.anthropic.server import StandIn
from standins.exchange.loopback import Loopback, LoopbackHandler
from standins.exchange.replies import Break, Call, How, Page, Refuse, answer

NAME = "eu.anthropic.claude-opus-5-5-v1:0"
REQUEST = Request(system="You are tested.", tools=(TOOL,), messages=(user("Hi."),), max_tokens=100)


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests is nobody to either cloud, and no metadata host is asked."""
    for name in ("AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    # The SDK keeps the sessions that it made, with what each of them found.
    cast("Any", aws_auth._get_session).cache_clear()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> dialects.Bedrock:
    dialect = dialects.Bedrock()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", dialect.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", dialect.secret_key)
    return dialect


@pytest.fixture
def bedrock(aws: dialects.Bedrock) -> Iterator[StandIn]:
    with CloudStandIn(aws) as standin:
        yield standin


def on_bedrock(api: StandIn, name: str = NAME, **environ: str) -> AnthropicModel:
    service = Bedrock(region="eu-central-1", base_url=api.url)
    model = open_model(
        f"anthropic:{name}", environ=environ, configuration=Configuration(anthropic=service)
    )
    assert isinstance(model, AnthropicModel)
    model._retrier._sleep = lambda _: None
    return model


def test_a_request_to_bedrock_is_signed_and_its_binary_stream_is_read(bedrock: StandIn) -> None:
    bedrock.queue(answer("I look: ü€😀.", Call("bash", {"command": "ls"})))
    heard: list[StreamEvent] = []
    reply = on_bedrock(bedrock).reply(REQUEST, heard.append)
    (sent,) = bedrock.requests
    assert sent.fault is None  # the stand-in counted the signature itself
    assert sent.path == f"/model/{NAME}/invoke-with-response-stream"
    assert "/eu-central-1/bedrock/aws4_request" in sent.headers["authorization"]
    assert {"model", "stream"}.isdisjoint(sent.body)
    assert sent.body["anthropic_version"]
    assert "".join(event.text for event in heard if isinstance(event, TextDelta)) == "I look: ü€😀."
    assert [type(block).__name__ for block in reply.message.blocks] == ["Text", "ToolUse"]
    assert reply.usage.output_tokens > 0


def test_a_model_on_bedrock_thinks_as_it_does_elsewhere(bedrock: StandIn) -> None:
    bedrock.queue(answer("Hi."))
    on_bedrock(bedrock).reply(REQUEST, lambda _: None)
    assert bedrock.requests[0].body["thinking"]["type"] == "adaptive"


def test_a_wrong_secret_is_told_with_the_service_s_own_words(
    bedrock: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(ModelAuth, match=r"signature we calculated.*your AWS credentials may not"):
        on_bedrock(bedrock).reply(REQUEST, lambda _: None)


def test_a_bearer_token_goes_in_place_of_a_signature() -> None:
    with CloudStandIn(dialects.Bedrock(bearer="bedrock-api-key-1234")) as api:
        api.queue(answer("Hi."))
        model = on_bedrock(api, AWS_BEARER_TOKEN_BEDROCK="bedrock-api-key-1234")
        model.reply(REQUEST, lambda _: None)
        assert api.requests[0].fault is None


def test_no_credentials_at_all_is_one_line_that_says_where_they_may_stand() -> None:
    with CloudStandIn(dialects.Bedrock()) as api:
        with pytest.raises(ModelAuth, match=r"your AWS credentials can't be used.*AWS_PROFILE"):
            on_bedrock(api).reply(REQUEST, lambda _: None)
        assert api.requests == []


def test_a_profile_that_is_not_there_is_named(
    bedrock: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ModelAuth, match=r"nobody"):
        on_bedrock(bedrock).reply(REQUEST, lambda _: None)


@pytest.mark.parametrize("how", [How.DROP, How.MID_EVENT, How.END, How.ERROR])
def test_a_stream_of_bedrock_that_breaks_is_void_and_made_again(bedrock: StandIn, how: How) -> None:
    broken = Break(how, before="content_block_stop", error="throttlingException")
    bedrock.queue(broken, answer("Whole."))
    heard: list[StreamEvent] = []
    reply = on_bedrock(bedrock).reply(REQUEST, heard.append)
    assert reply.attempts == 2
    assert [block.text for block in reply.message.blocks if isinstance(block, Text)] == ["Whole."]
    assert sum(isinstance(event, Discarded) for event in heard) == 1


def test_a_frame_whose_checksum_is_wrong_is_a_broken_stream(bedrock: StandIn) -> None:
    torn = bytearray(eventstream.chunk('{"type": "message_start"}'))
    torn[-1] ^= 1
    page = Page(200, bytes(torn), content_type=eventstream.CONTENT_TYPE)
    bedrock.queue(page, answer("Whole."))
    heard: list[StreamEvent] = []
    assert on_bedrock(bedrock).reply(REQUEST, heard.append).attempts == 2
    assert any(isinstance(event, Retrying) for event in heard)


def test_a_frame_that_claims_to_be_endless_is_not_waited_for(bedrock: StandIn) -> None:
    page = Page(200, b"\xff" * 4096, content_type=eventstream.CONTENT_TYPE)
    bedrock.queue(page, answer("Whole."))
    assert on_bedrock(bedrock).reply(REQUEST, lambda _: None).attempts == 2


def test_what_bedrock_will_never_take_is_not_sent_again(bedrock: StandIn) -> None:
    bedrock.queue(Break(How.ERROR, before="content_block_stop", error="validationException"))
    with pytest.raises(ModelRefusedRequest):
        on_bedrock(bedrock).reply(REQUEST, lambda _: None)
    assert len(bedrock.requests) == 1


@pytest.mark.parametrize("name", ["../../etc", "..", "a/b", "x;y"])
def test_a_model_s_name_can_t_become_another_path(bedrock: StandIn, name: str) -> None:
    with pytest.raises(ModelRefusedRequest):
        on_bedrock(bedrock, name).reply(REQUEST, lambda _: None)
    assert all(sent.path.count("/") == 3 for sent in bedrock.requests)


@pytest.mark.parametrize(
    ("service", "environ", "says"),
    [
        (Bedrock(), {}, r"needs a region: write providers\.anthropic\.region"),
        (Bedrock(), {"AWS_REGION": "x.evil.example/#"}, "is not the name of a region"),
        (Vertex(region="eu"), {}, "needs a project"),
        (Vertex(project="p"), {}, "needs a region"),
        (Vertex(region="eu"), {"ANTHROPIC_VERTEX_PROJECT_ID": "../p"}, "not the name of a project"),
    ],
)
def test_a_place_that_is_none_is_told_before_anything_is_asked(
    service: Bedrock | Vertex, environ: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        open_model("anthropic:x", environ=environ, configuration=Configuration(anthropic=service))


def test_the_configured_region_counts_before_the_cloud_s_own_variable() -> None:
    service = Bedrock(region="eu-central-1")
    model = open_model(
        "anthropic:x",
        environ={"AWS_REGION": "us-east-1"},
        configuration=Configuration(anthropic=service),
    )
    assert isinstance(model, AnthropicModel)
    assert model._words.base_url == "https://bedrock-runtime.eu-central-1.amazonaws.com"


# -- Vertex AI --------------------------------------------------------------------------------


class Google(Loopback):
    """Who gives tokens for a service account's assertions."""

    def __init__(self) -> None:
        super().__init__(GoogleHandler)
        self.tokens: list[tuple[int, Any]] = []
        """Status and answer, in order; the last of them for ever."""
        self.asked: list[dict[str, list[str]]] = []


class GoogleHandler(LoopbackHandler):
    owner: ClassVar[Google]

    def answer(self, data: bytes) -> None:
        self.owner.asked.append(parse_qs(data.decode()))
        tokens = self.owner.tokens
        status, body = tokens.pop(0) if len(tokens) > 1 else tokens[0]
        answered = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answered)))
        self.end_headers()
        self.wfile.write(answered)


@pytest.fixture
def google_tokens() -> Iterator[Google]:
    with Google() as google:
        yield google


@pytest.fixture
def account(google_tokens: Google, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Google:
    """A service account of our own, in a file that Google's library finds."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "account.json"
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": "another-project",
                "private_key": pem.decode(),
                "private_key_id": "1",
                "client_email": "tester@example.org",
                "token_uri": f"{google_tokens.host}/token",
            }
        )
    )
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    return google_tokens


GOOD = (200, {"access_token": "ya29-example-token", "expires_in": 3600, "token_type": "Bearer"})


@pytest.fixture
def vertex() -> Iterator[StandIn]:
    with CloudStandIn(dialects.Vertex()) as standin:
        yield standin


def on_vertex(api: StandIn, name: str = "claude-opus-5-5") -> AnthropicModel:
    service = Vertex(project="my-project", region="europe-west1", base_url=f"{api.url}/v1")
    model = open_model(
        f"anthropic:{name}", environ={}, configuration=Configuration(anthropic=service)
    )
    assert isinstance(model, AnthropicModel)
    model._retrier._sleep = lambda _: None
    return model


def test_a_request_to_vertex_has_a_token_and_its_model_in_the_path(
    vertex: StandIn, account: Google
) -> None:
    account.tokens = [GOOD]
    vertex.queue(answer("One."), answer("Two."))
    model = on_vertex(vertex, "claude-opus-5-5@20260101")
    model.reply(REQUEST, lambda _: None)
    reply = model.reply(REQUEST, lambda _: None)
    assert [block.text for block in reply.message.blocks if isinstance(block, Text)] == ["Two."]
    sent = vertex.requests[0]
    assert sent.fault is None
    assert sent.path.startswith("/v1/projects/my-project/locations/europe-west1/publishers/")
    assert sent.path.endswith("/claude-opus-5-5@20260101:streamRawPredict")
    assert "model" not in sent.body
    assert sent.body["anthropic_version"]
    assert len(account.asked) == 1  # one token for both


def test_without_credentials_vertex_is_not_asked(vertex: StandIn) -> None:
    with pytest.raises(ModelAuth, match="gcloud auth application-default login"):
        on_vertex(vertex).reply(REQUEST, lambda _: None)
    assert vertex.requests == []


def test_an_account_that_google_refuses_is_told_so(vertex: StandIn, account: Google) -> None:
    refusal = {"error": "invalid_grant", "error_description": "Invalid JWT\x1b[2J Signature."}
    account.tokens = [(400, refusal)]
    with pytest.raises(ModelAuth, match="invalid_grant") as caught:
        on_vertex(vertex).reply(REQUEST, lambda _: None)
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_credentials_file_that_is_none_is_told_so(
    vertex: StandIn, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text("no json")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "a.json"))
    with pytest.raises(ModelAuth, match="your Google credentials can't be used"):
        on_vertex(vertex).reply(REQUEST, lambda _: None)


def test_a_token_that_vertex_does_not_take_is_told_so(vertex: StandIn, account: Google) -> None:
    account.tokens = [(200, {**GOOD[1], "access_token": "another"})]
    with pytest.raises(ModelAuth, match="check your Google credentials"):
        on_vertex(vertex).reply(REQUEST, lambda _: None)


# -- both --------------------------------------------------------------------------------------


@pytest.fixture(params=["bedrock", "vertex"])
def cloud(request: pytest.FixtureRequest) -> tuple[StandIn, AnthropicModel]:
    """Either of them, and a model on it."""
    api: StandIn = request.getfixturevalue(request.param)
    if request.param == "bedrock":
        return api, on_bedrock(api)
    account: Google = request.getfixturevalue("account")
    account.tokens = [GOOD]
    return api, on_vertex(api)


Both = tuple[StandIn, AnthropicModel]


@pytest.mark.parametrize("said", ["Input is too long for requested model.", "prompt is too long"])
def test_a_conversation_that_does_not_fit_a_cloud_is_known_for_one(cloud: Both, said: str) -> None:
    api, model = cloud
    api.queue(Refuse(400, message=said))
    with pytest.raises(ModelTooLong):
        model.reply(REQUEST, lambda _: None)
    assert len(api.requests) == 1


def test_a_summary_of_the_service_is_asked_for_by_the_beta_part_of_each_client(cloud: Both) -> None:
    api, model = cloud
    # As a cloud does today; an operator's prices file may say that it can.
    api.queue(Refuse(400, message="compaction: Extra inputs are not permitted"))
    with pytest.raises(ModelRefusedRequest, match="Extra inputs"):
        model.reply(replace(REQUEST, compact=True), lambda _: None)
    (sent,) = api.requests
    assert sent.body["compaction"] == {"type": "summarize"}
    assert "compact-2026-09-04" in (
        *sent.body.get("anthropic_beta", ()),
        sent.headers.get("anthropic-beta"),
    )


def test_an_image_goes_to_a_cloud_as_it_does_elsewhere(cloud: Both) -> None:
    api, model = cloud
    api.queue(answer(Call("bash", {"command": "ls"})), answer("I see."))
    call = model.reply(REQUEST, lambda _: None).message
    (use,) = (block for block in call.blocks if isinstance(block, ToolUse))
    png = Image(media_type="image/png", data=PNG)
    shown = ToolResult(tool_use_id=use.id, text="a picture", is_error=False, images=(png,))
    messages = (*REQUEST.messages, call, user(results=(shown,)))
    model.reply(replace(REQUEST, messages=messages), lambda _: None)
    assert [request.fault for request in api.requests] == [None, None]
    assert "image/png" in json.dumps(api.requests[1].body)


def test_a_traced_cloud_has_its_spans_its_bounds_and_its_credentials_still(cloud: Both) -> None:
    api, model = cloud
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    model.trace_with(provider)
    api.queue(answer("Hi."), Refuse(302, {"location": "http://localhost:9/"}))
    model.reply(REQUEST, lambda _: None)
    assert api.requests[0].fault is None
    assert "traceparent" not in api.requests[0].headers
    assert spans.get_finished_spans()
    with pytest.raises(ModelRefusedRequest, match="redirects to"):
        model.reply(REQUEST, lambda _: None)


def test_a_traced_bearer_token_of_bedrock_still_goes_in_place_of_a_signature() -> None:
    with CloudStandIn(dialects.Bedrock(bearer="bedrock-api-key-1234")) as api:
        api.queue(answer("Hi."), Refuse(400, message="who is bedrock-api-key-1234?"))
        model = on_bedrock(api, AWS_BEARER_TOKEN_BEDROCK="bedrock-api-key-1234")
        model.trace_with(TracerProvider())
        model.reply(REQUEST, lambda _: None)
        with pytest.raises(ModelRefusedRequest, match=r"who is \(the key\)\?"):
            model.reply(REQUEST, lambda _: None)


@pytest.mark.parametrize("service", [Bedrock(region="eu"), Vertex(region="eu", project="p")])
def test_a_cloud_lists_no_models(service: Bedrock | Vertex) -> None:
    with pytest.raises(UsageError, match="no list of models"):
        offered(
            "anthropic",
            environ={},
            configuration=Configuration(anthropic=service),
            on_event=lambda _: None,
        )


@pytest.mark.parametrize(
    ("missing", "service", "says"),
    [
        ("boto3", "Bedrock(region='eu')", "pip install '.[bedrock]' in Moonpool's checkout"),
        (
            "google.auth",
            "Vertex(region='eu', project='p')",
            "pip install '.[vertex]' in Moonpool's checkout",
        ),
    ],
)
def test_a_missing_extra_is_named(missing: str, service: str, says: str) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "from agent.config.values import *\n"
        "from agent.models.open_model import open_model\n"
        "try:\n"
        f"    configuration = Configuration(anthropic={service})\n"
        "    open_model('anthropic:x', environ={}, configuration=configuration)\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("UsageError ")
    assert says in done.stdout
    assert done.stdout.count("\n") == 1


def named(name: str) -> type[BaseException]:
    module, _, kind = name.rpartition(".")
    found: type[BaseException] = getattr(import_module(module), kind)
    return found


def all_of(root: type[BaseException]) -> Iterator[type[BaseException]]:
    yield root
    for child in root.__subclasses__():
        yield from all_of(child)


@pytest.mark.parametrize(
    "root",
    [
        "botocore.exceptions.BotoCoreError",
        "botocore.exceptions.ClientError",
        "botocore.eventstream.ParserError",
        "google.auth.exceptions.GoogleAuthError",
    ],
)
def test_every_error_of_the_clouds_libraries_has_a_kind(root: str) -> None:
    for kind in all_of(named(root)):
        assert cloud_errors.kind_of(kind.__new__(kind)) in {FailureKind.AUTH, FailureKind.RETRY}


def test_every_name_in_the_map_is_a_class_that_exists() -> None:
    for name in cloud_errors.BY_NAME:
        assert issubclass(named(name), Exception)


def test_a_defect_of_ours_is_no_error_of_a_cloud() -> None:
    for error in (RuntimeError("x"), KeyError("x"), NotImplementedError("Could not resolve")):
        assert cloud_errors.kind_of(error) is None
