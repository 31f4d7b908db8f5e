"""``moonpool image``, with the engine."""

import pytest

from command_line.running import Shell


def test_an_image_that_stands_is_not_built_again(moonpool: Shell, image: str) -> None:
    done = moonpool("image", "build", "python", "python")
    assert (done.returncode, done.stdout) == (0, f"python is ready: {image}\n" * 2)


@pytest.mark.usefixtures("engine")
def test_an_unknown_image_is_a_clear_error(moonpool: Shell) -> None:
    done = moonpool("image", "build", "nothing")
    assert done.returncode == 3
    assert "python" in done.stderr
    assert "Traceback" not in done.stderr
