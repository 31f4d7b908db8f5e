"""Work in a thread of its own keeps nothing of what it worked on."""

import gc
import weakref

from sandbox.threads import Background


class _Look:
    """Stands for a hundred thousand rows."""


def test_what_two_threads_had_of_each_other_goes_with_them() -> None:
    """As an open has them: the one looks and begins the other, which takes the look."""
    look = _Look()
    seen = weakref.ref(look)

    def opened(given: _Look) -> None:
        def looked() -> _Look:
            copying.begin()
            return given

        looking = Background(looked, name="look")
        copying = Background(lambda: looking.result() is given, name="copy")
        assert looking.result() is given
        assert copying.result()

    gc.collect()
    gc.disable()
    try:
        opened(look)
        del look
        assert seen() is None
    finally:
        gc.enable()
