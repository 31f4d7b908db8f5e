"""In what compatible services differ from the API they are compatible with."""

from enum import Enum, auto


class Quirk(Enum):
    # of the requests they take
    ONLY_MAX_TOKENS = auto()
    """Refuses ``max_completion_tokens``."""
    NO_STREAM_OPTIONS = auto()
    NO_IMAGES = auto()
    SMALL_OUTPUT = auto()
    """At most 4,096 tokens."""
    SMALL_WINDOW = auto()
    """16,384 tokens for prompt and output together, as vLLM checks it."""
    NO_KEY = auto()
    ANY_MODEL = auto()
    KEEPS_REASONING = auto()
    """Takes the thinking back, and refuses calls without theirs."""

    # of the calls they answer with
    NO_ID = auto()
    EMPTY_ID = auto()
    ID_IN_EACH_DELTA = auto()
    ONE_ID_FOR_ALL = auto()
    NO_INDEX = auto()
    INDEX_ALWAYS_ZERO = auto()
    INDEX_FROM_ONE = auto()
    WHOLE_CALLS = auto()
    """In one delta each."""
    ALL_IN_ONE_CHUNK = auto()
    """Every call, and the reason to stop."""
    OBJECT_ARGUMENTS = auto()
    """Not as a text."""
    STOP_FOR_CALLS = auto()
    FUNCTION_CALL = auto()
    """As before there were tools; one call only."""

    # of the rest of a stream
    REASONING_NAMED_SHORT = auto()
    REASONING_TWICE = auto()
    NO_USAGE = auto()
    USAGE_IN_EACH_CHUNK = auto()
    NO_DONE = auto()


CALLS = (
    Quirk.NO_ID,
    Quirk.EMPTY_ID,
    Quirk.ID_IN_EACH_DELTA,
    Quirk.ONE_ID_FOR_ALL,
    Quirk.NO_INDEX,
    Quirk.INDEX_ALWAYS_ZERO,
    Quirk.INDEX_FROM_ONE,
    Quirk.WHOLE_CALLS,
    Quirk.ALL_IN_ONE_CHUNK,
    Quirk.OBJECT_ARGUMENTS,
    Quirk.STOP_FOR_CALLS,
)
"""Those with which calls are as good as without."""
