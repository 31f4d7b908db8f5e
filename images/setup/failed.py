"""What a set-up that failed left behind: found by the layer it was to become, for a look."""

import os
from collections.abc import Generator
from contextlib import contextmanager

from sandbox.container.prepared_image import DRAFT, REPOSITORY
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_ATTEMPT, LABEL_FOREIGN, LABEL_SETUP


@contextmanager
def as_image(engine: Engine, ref: str) -> Generator[str | None]:
    """Its files as an image for as long as it is held; None where nothing stands.

    Args:
        ref: the name that the layer would have got.

    Raises:
        EngineError, EngineUnavailable: the engine fails.
    """
    rows = [row for row in engine.containers(f"{LABEL_ATTEMPT}={ref}") if row.state == "exited"]
    if not rows:
        yield None
        return
    draft = f"{REPOSITORY}:{DRAFT}{ref.rpartition(':')[2]}-{os.urandom(8).hex()}"
    # What failed was not looked through: nothing of it starts the shell.
    labels = {LABEL_SETUP: "", LABEL_ATTEMPT: "", LABEL_FOREIGN: "1"}
    engine.commit(rows[0].id, ref=draft, labels=labels)
    try:
        yield draft
    finally:
        engine.remove_image(draft)
