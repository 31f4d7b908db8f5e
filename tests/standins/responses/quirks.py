"""In what compatible services differ from the API they are compatible with."""

from enum import Enum, auto


class ResponsesQuirk(Enum):
    # of the requests they take
    ANY_MODEL = auto()
    NO_INCLUDE = auto()
    NO_REASONING = auto()
    """Refuses to be asked for a summary."""
    NO_STORE = auto()
    NO_LIMIT = auto()
    """Refuses ``max_output_tokens``."""
    NO_CACHE_KEY = auto()
    NO_IMAGES = auto()
    SMALL_OUTPUT = auto()
    """At most 4,096 tokens."""
    PLAIN_REASONING = auto()
    """Thinks in text, not encrypted, and refuses calls without it."""
    FORGOTTEN_KEY = auto()
    """Can no longer read what it encrypted."""

    # of the calls they answer with
    NO_CALL_ID = auto()
    ONE_CALL_ID_FOR_ALL = auto()
    OBJECT_ARGUMENTS = auto()
    """Not as a text."""
    NO_ARGUMENTS_AT_END = auto()
    """They come in pieces only."""
    NO_PIECES = auto()
    """They come at the item's end only, and so does text."""

    # of the rest of a stream
    INDEX_GAPS = auto()
    INDEX_ALWAYS_ZERO = auto()
    NO_INDEX = auto()
    CHANGING_IDS = auto()
    """An item is announced under one id and ends under another."""
    UNANNOUNCED = auto()
    """Without ``response.output_item.added``."""
    ONLY_THE_END = auto()
    """One event, with everything in it."""
    EMPTY_END = auto()
    """The last event lists no items."""
    ONE_SEQUENCE_NUMBER = auto()
    NEVER_INCOMPLETE = auto()
    """Calls complete what its limit cut off, as llama.cpp does."""
    NO_USAGE = auto()
    THINKING_APART = auto()
    """The output is counted without the thinking, the total with it."""


STREAMS = (
    ResponsesQuirk.NO_CALL_ID,
    ResponsesQuirk.ONE_CALL_ID_FOR_ALL,
    ResponsesQuirk.OBJECT_ARGUMENTS,
    ResponsesQuirk.NO_ARGUMENTS_AT_END,
    ResponsesQuirk.NO_PIECES,
    ResponsesQuirk.INDEX_GAPS,
    ResponsesQuirk.INDEX_ALWAYS_ZERO,
    ResponsesQuirk.NO_INDEX,
    ResponsesQuirk.CHANGING_IDS,
    ResponsesQuirk.UNANNOUNCED,
    ResponsesQuirk.ONLY_THE_END,
    ResponsesQuirk.EMPTY_END,
    ResponsesQuirk.ONE_SEQUENCE_NUMBER,
)
"""Those with which an answer is as good as without."""
