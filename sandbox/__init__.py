"""Where it is done: the sealed container, its guest, the workspace copy, the patch.

`from sandbox import Sandbox` is how others use it. The class is loaded when it is asked for:
whoever imports another module from here does not pay for everything that it needs.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.sandbox import Sandbox

__all__ = ["Sandbox"]


def __getattr__(name: str) -> object:
    if name == "Sandbox":
        from sandbox.sandbox import Sandbox  # noqa: PLC0415 - see above

        return Sandbox
    raise AttributeError(f"module 'sandbox' has no attribute {name!r}")
