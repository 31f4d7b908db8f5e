"""What goes wrong between us and a cloud's credentials, as our errors.

Owns the kinds of the errors of botocore and google-auth, which come through the anthropic SDK as
they are. Knows them by name and imports neither: both are extras, and who uses neither has neither.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Final

from agent.errors import ModelAuth, extra_missing
from agent.models.http_errors import FailureKind, line
from agent.models.retrying import TransientError
from policies.frozen import dataclass

BY_NAME: Final[Mapping[str, FailureKind]] = {
    # Nothing but the search for credentials and the signing with them can raise these.
    "botocore.exceptions.BotoCoreError": FailureKind.AUTH,
    "botocore.exceptions.ClientError": FailureKind.AUTH,
    "botocore.exceptions.HTTPClientError": FailureKind.RETRY,
    "botocore.eventstream.ParserError": FailureKind.RETRY,
    "google.auth.exceptions.GoogleAuthError": FailureKind.AUTH,
    "google.auth.exceptions.TransportError": FailureKind.RETRY,
    "google.auth.exceptions.TimeoutError": FailureKind.RETRY,
    "google.auth.exceptions.ResponseError": FailureKind.RETRY,
}
"""By name; a class that is not listed is of the kind of its nearest parent, if one is listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """What a message about a cloud names."""

    name: str
    extra: str
    """The extra of Moonpool's package that brings the library which finds the credentials."""
    libraries: tuple[str, ...]
    credentials: str
    remedy: str


AWS: Final = Cloud(
    name="Bedrock",
    extra="bedrock",
    libraries=("boto3", "botocore"),
    credentials="your AWS credentials",
    remedy="check AWS_PROFILE or AWS_ACCESS_KEY_ID, or log in with `aws sso login`",
)
GOOGLE: Final = Cloud(
    name="Vertex AI",
    extra="vertex",
    libraries=("google.auth", "requests"),
    credentials="your Google credentials",
    remedy="run `gcloud auth application-default login` or set GOOGLE_APPLICATION_CREDENTIALS",
)


def need(cloud: Cloud) -> None:
    """Raises UsageError where the library of a cloud is not installed."""
    for library in cloud.libraries:
        try:
            import_module(library)
        except ImportError as error:
            what = f"Claude on {cloud.name} needs {library.replace('.', '-')}"
            raise extra_missing(what, cloud.extra) from error


@contextmanager
def translated_for(cloud: Cloud | None) -> Generator[None]:
    """Raise ours for what the library of a cloud raises; with None nothing is changed."""
    try:
        yield
    except Exception as error:
        found = None if cloud is None else kind_of(error)
        if cloud is None or found is None:
            raise
        said = line(str(error)) or type(error).__name__
        if found is FailureKind.RETRY:
            raise TransientError(f"{cloud.name}: {said}") from error
        raise ModelAuth(f"{cloud.credentials} can't be used ({said}): {cloud.remedy}") from error


def kind_of(error: BaseException) -> FailureKind | None:
    """The kind of an error; None: it is none of a cloud's library."""
    if getattr(error, "retryable", False) and _known(error) is FailureKind.AUTH:
        return FailureKind.RETRY
    if type(error) is RuntimeError and str(error).startswith("Could not resolve"):
        # How the SDK itself says that nothing was found.
        return FailureKind.AUTH
    return _known(error)


def _known(error: BaseException) -> FailureKind | None:
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__)
    return next((BY_NAME[name] for name in names if name in BY_NAME), None)
