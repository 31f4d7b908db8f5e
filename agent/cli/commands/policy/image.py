"""What can be said of the image that a policy names, and of the policy in it."""

from pathlib import Path

from agent.config import environment
from images import recipes
from images.build import held
from policies.errors import PolicyError
from policies.file.scalars import is_path
from policies.kernel.rules import kernel_rules
from policies.kernel.services import missing_programs
from policies.policy import Policy
from sandbox.container.prepared_image import prepare
from sandbox.engine.docker import Engine
from sandbox.errors import EngineError, EngineUnavailable, ImageUnusable


def unknown_image(policy: Policy) -> tuple[PolicyError, ...]:
    """That there is no image of that name, in the place where it is written.

    Where no engine answers, a name that is no recipe's may be an image's: `about_image` says so.
    """
    known = recipes.names()
    if policy.image in known:
        return ()
    try:
        if is_path(policy.image):
            recipes.of_operator(Path(policy.image))
            return ()
        if Engine.connect(environment.environ()).image(policy.image) is not None:
            return ()
    except (EngineError, EngineUnavailable):
        return ()
    except ImageUnusable as error:
        message = str(error)
    else:
        message = (
            f"there is no recipe {policy.image!r} to make the image of, as there is of "
            f"{', '.join(known)}; nor does the engine have an image of that name"
        )
    where = policy.places.get("image", policy.where)
    return (PolicyError(message, where=where, key="image"),)


def about_image(policy: Policy) -> list[str]:
    """What the policy can't hold apart in its image, or why that was not looked at.

    A policy can be checked without an engine.
    """
    try:
        engine = Engine.connect(environment.environ())
        info = held(engine, policy.image)
        if info is None:
            return [f"image {policy.image}: not built yet, so not looked into"]
        prepared = prepare(engine, info, on_progress=lambda _: None)
    except (EngineError, EngineUnavailable, ImageUnusable) as error:
        return [f"image {policy.image}: not looked into: {error}"]
    found = kernel_rules(policy, prepared.inventory, may_ask=True).granted
    return [
        *map(str, found.shared),
        *(f"{path}, which {by} loads, holds a program" for path, by in found.libraries.loaded),
        *(f"not in the image: {one}" for one in missing_programs(policy, prepared.inventory)),
    ]
