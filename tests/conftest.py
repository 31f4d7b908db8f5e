"""What every test may ask for. The engine is real: where there is none, tests that need it fail."""

import contextlib
import fcntl
import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import HealthCheck, settings

from images.build import ensure
from policies.loading import load
from policies.policy import Policy
from sandbox.engine.docker import Engine
from sandbox.errors import SandboxError
from sandbox.opening.stored import LeftoverKind, StoredItem, stored
from sandbox.sandbox import Sandbox

OpenBox = Callable[..., Sandbox]
_CACHE = pytest.StashKey[str]()
_SESSIONS = pytest.StashKey[TextIO]()

# A slow machine is no failure.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """The collected tests, and what they import, stay: no round of the garbage collector looks at
    them again. It comes round less often too: a sixth of the suite's time in Python was its.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(5_000)
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs the engine carries the mark `engine`: `-m "not engine"` runs the others.

    The tests of a module go to one worker together, so that what they share is made once. Those
    that need the engine and share nothing are dealt out one by one.
    """
    for item in items:
        assert isinstance(item, pytest.Function)
        if "engine" in item.fixturenames:
            item.add_marker("engine")
        if not item.get_closest_marker("engine") or _shares(item):
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


def _shares(item: pytest.Function) -> bool:
    """Whether it asks for anything that its whole module uses."""
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    return any(found.scope == "module" for defined in fixtures for found in defined)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Where there is no engine that is said once, and not by each test that needs one."""
    needed = any(item.get_closest_marker("engine") for item in session.items)
    if session.config.option.collectonly or not needed:
        return None
    try:
        Engine.connect(os.environ)
    except SandboxError as error:
        reason = f'{error} (the tests that need none: pytest -m "not engine")'
    else:
        return None
    if not hasattr(session.config, "workerinput"):
        pytest.exit(reason, returncode=3)
    session.shouldstop = reason  # a worker of xdist hands this on; it can't exit
    return True


@pytest.hookimpl
def pytest_sessionstart(session: pytest.Session) -> None:
    """All tests together have a cache of their own: so it is known what the engine keeps of it."""
    if not hasattr(session.config, "workerinput"):
        lock = Path(tempfile.gettempdir()) / f"moonpool-tests-{os.getuid()}.lock"
        session.config.stash[_SESSIONS] = lock.open("w")
        fcntl.flock(session.config.stash[_SESSIONS], fcntl.LOCK_SH)
        session.config.stash[_CACHE] = cache = tempfile.mkdtemp(prefix="moonpool-tests-cache-")
        os.environ["XDG_CACHE_HOME"] = cache


@pytest.hookimpl
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Images and volumes that only these tests would use again are removed, with their cache.

    Another checkout's tests may go on meanwhile, with the same images prepared: those stay.
    """
    cache = session.config.stash.get(_CACHE, None)
    if cache is None:
        return
    with session.config.stash[_SESSIONS] as sessions:
        try:
            fcntl.flock(sessions, fcntl.LOCK_EX | fcntl.LOCK_NB)
            kept = set()
        except BlockingIOError:
            kept = {LeftoverKind.PREPARED_IMAGE}
    with contextlib.suppress(SandboxError):
        engine = Engine.connect(os.environ)
        known = [item for item in stored(engine) if item.known and item.kind not in kept]
        # What stands above another has fewer above itself, and goes before it.
        with ThreadPoolExecutor(4) as threads:
            for _, alike in groupby(sorted(known, key=_above), key=_above):
                list(threads.map(partial(_remove, engine), alike))
    shutil.rmtree(cache, ignore_errors=True)


def _above(item: StoredItem) -> int:
    return len(item.above)


def _remove(engine: Engine, item: StoredItem) -> None:
    with contextlib.suppress(SandboxError):
        if item.kind is LeftoverKind.VOLUME:
            engine.remove_volume(item.id)
        else:
            engine.remove_image(item.id)


@pytest.fixture(scope="session")
def engine() -> Engine:
    return Engine.connect(os.environ)


@pytest.fixture(scope="session")
def image(engine: Engine) -> str:
    """The `python` image, built where it is missing."""
    return ensure(engine, "python", on_progress=lambda _: None)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """An empty directory to fill."""
    directory = tmp_path / "workspace"
    directory.mkdir()
    return directory


@pytest.fixture(scope="session")
def default_policy() -> Policy:
    """A value that nobody can change: read once."""
    return load("default")


@pytest.fixture
def open_box(
    engine: Engine, image: str, workspace: Path, default_policy: Policy
) -> Iterator[OpenBox]:
    """Opens sandboxes on `workspace`, under the default policy unless told; closes them all."""
    opened: list[Sandbox] = []

    def opener(policy: Policy | None = None, **options: object) -> Sandbox:
        box = Sandbox.open(
            workspace=workspace,
            policy=policy or default_policy,
            image=image,
            engine=engine,
            **options,  # type: ignore[arg-type]
        )
        opened.append(box)
        return box

    yield opener
    for box in opened:
        box.close()


@pytest.fixture
def box(open_box: OpenBox) -> Sandbox:
    """A sandbox on an empty workspace under the default policy."""
    return open_box()
