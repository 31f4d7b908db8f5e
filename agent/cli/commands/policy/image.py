"""What can be said of a policy in the image that it names, where that stands."""

from agent.cli.setup import environment
from images import recipes
from policies.kernel.rules import kernel_rules
from policies.policy import Policy
from sandbox.container.prepared_image import prepare
from sandbox.engine.docker import Engine
from sandbox.errors import EngineError, EngineUnavailable, ImageUnusable


def about_image(policy: Policy) -> list[str]:
    """That there is no image of that name, or what the policy can't hold apart in it.

    Nothing where no engine is: a policy can be checked without.
    """

    known = recipes.names()
    unknown = (
        []
        if policy.image in known
        else [f"image {policy.image}: there is no recipe of that name: {', '.join(known)}"]
    )
    try:
        engine = Engine.connect(environment.environ())
        info = engine.image(f"moonpool/{policy.image}:latest")
        if info is None:
            return unknown
        prepared = prepare(engine, info, on_progress=lambda _: None)
    except (EngineError, EngineUnavailable, ImageUnusable):
        return unknown
    found = kernel_rules(policy, prepared.inventory, may_ask=True).granted
    return [
        *map(str, found.shared),
        *(f"{path}, which {by} loads, holds a program" for path, by in found.libraries.loaded),
    ]
