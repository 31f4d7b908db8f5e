"""``moonpool doctor``: the machine itself."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from agent import exit_codes
from agent.cli.arguments import Command, Given
from agent.cli.options import AS_JSON
from agent.cli.saying import print_json
from agent.config import environment
from agent.errors import ModelError, RecordError, UsageError
from agent.preparation import model as model_setup
from agent.untrusted_text import visible
from images.build import held
from images.listing import rows
from policies.loading import load
from sandbox.cache import write_atomically
from sandbox.engine.docker import Engine
from sandbox.errors import SandboxError
from sandbox.opening.stored import stored
from sandbox.prune import DEFAULT_BUDGET_BYTES
from sandbox.sandbox import Sandbox

_GIGABYTE = 1_000_000_000
_GIBIBYTE = 1 << 30
_LITTLE_DISK_BYTES = 2 * _GIGABYTE


_MARKS = {"ok": "ok    ", "bad": "BAD   ", "note": "note  "}


def doctor(given: Given) -> int:
    """Try everything a run needs, and say of each what is wrong; 3 where something is."""
    engine: Engine | None = None
    checks: list[dict[str, object]] = []

    def tell(state: str, what: str, detail: str) -> None:
        checks.append({"name": what, "state": state, "detail": detail})
        if not given[AS_JSON]:
            print(visible(f"{_MARKS[state]}{what}: {detail}"), flush=True)

    def attempt(what: str, trial: Callable[[], str]) -> None:
        try:
            tell("ok", what, trial())
        except (SandboxError, RecordError, UsageError, OSError) as error:
            tell("bad", what, str(error))

    def connect() -> str:
        nonlocal engine
        engine = Engine.connect(environment.environ())
        return _engine(engine)

    attempt("engine", connect)
    if engine is not None:
        working = engine
        attempt("image", lambda: _image(working))
        attempt("sealed container", lambda: _sealed(working))
        attempt("cache", lambda: _cache(working))
    attempt("record", _record)
    try:
        tell("ok", "model", _model())
    except (UsageError, ModelError) as error:
        tell("note", "model", str(error))
    good = all(check["state"] != "bad" for check in checks)
    if given[AS_JSON]:
        print_json({"good": good, "checks": checks})
    return exit_codes.DONE if good else exit_codes.ENVIRONMENT


def _engine(engine: Engine) -> str:
    facts = engine.facts()
    rootless = ", rootless" if facts.rootless else ""
    return (
        f"{facts.version} at {facts.endpoint}{rootless}; {facts.operating_system}, "
        f"kernel {facts.kernel}, cgroup {facts.cgroup_version}, {facts.storage_driver}"
    )


def _image(engine: Engine) -> str:
    states = [
        f"{row.recipe} {row.state}"
        for row in rows(engine)
        if row.recipe and row.state != "superseded"
    ]
    return ", ".join(states) + " (what is not ready is built by the first run)"


def _sealed(engine: Engine) -> str:
    """Open one on an empty workspace and read its seal back: the only test that proves it."""
    policy = load("locked")
    if held(engine, policy.image) is None:
        return f"not tried: there is no image yet (moonpool image build {policy.image})"
    with (
        tempfile.TemporaryDirectory(prefix="moonpool-doctor-") as empty,
        Sandbox.open(workspace=Path(empty), policy=policy, engine=engine) as box,
    ):
        seal = box.seal
    return (
        f"Landlock ABI {seal.landlock_abi}, no capabilities, seccomp {seal.seccomp}, "
        f"only {', '.join(seal.interfaces)}"
    )


def _cache(engine: Engine) -> str:
    said = model_setup.load(root=None).cache_budget_bytes
    budget = DEFAULT_BUDGET_BYTES if said is None else said
    items = stored(engine)
    total = sum(item.own_bytes for item in items)
    return (
        f"{total / _GIBIBYTE:.1f} of {budget / _GIBIBYTE:.0f} GiB in {len(items)} images and "
        "volumes (what was used least recently goes first)"
    )


def _record() -> str:
    home = environment.home()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    probe = home / ".doctor"
    write_atomically(probe, b"")
    os.unlink(probe)
    free = shutil.disk_usage(home).free
    little = ": that is little" if free < _LITTLE_DISK_BYTES else ""
    return f"{home}, {free / _GIGABYTE:.1f} GB free{little}"


def _model() -> str:
    """The model of a run that names none; nobody asks it anything.

    Raises:
        UsageError, ModelError: there is none, or no key for it; says what to do.
    """
    model = model_setup.open_model(None, model_setup.load(root=None))
    return f"{model.name}, for runs without -m"


COMMAND = Command(
    doctor,
    (AS_JSON,),
    """

    Example: moonpool doctor
    """,
)
