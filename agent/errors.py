"""Errors of the agent room.

UsageError              a user's mistake on the command line or in a task (exit code 2)
ModelError              the model's service can't be used (exit code 4)
├── ModelUnavailable    it failed after all retries: overloaded, unreachable, broken streams
├── ModelRefusedRequest 400, 404, 413, 422: this request will never do
│   └── ModelTooLong    400, 413: the conversation does not fit; a shorter one may
├── ModelAuth           401, 403, no key
└── ModelBilling        402
RecordError             a run's record can't be written or read (exit code 3)
"""


class UsageError(Exception):
    """A user's mistake; the message says what to write instead."""


def extra_missing(what: str, extra: str) -> UsageError:
    """What is told of an extra that is not installed. It names no package of an index: there is
    none of ours, and whoever made one of our name would be installed.

    Args:
        what: what needs it, as the sentence begins.
    """
    return UsageError(f"{what}: pip install '.[{extra}]' in Moonpool's checkout")


class ModelError(Exception):
    """The model's service can't be used; the message is one line that says what to do."""


class ModelUnavailable(ModelError):
    """It failed after all retries."""


class ModelRefusedRequest(ModelError):
    """The service will never take this request."""


class ModelTooLong(ModelRefusedRequest):
    """The conversation is longer than the model or its service takes; a shorter one may do."""


class ModelAuth(ModelError):
    """No key, or one that is not accepted."""


class ModelBilling(ModelError):
    """The account can't pay."""


class RecordError(Exception):
    """A run's record can't be written or read."""
