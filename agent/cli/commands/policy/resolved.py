"""``moonpool policy show --resolved``, and what ``check`` can say of an image."""

import json
import sys

from agent.cli.setup import environment, exit_codes
from agent.cli.setup.policy import permit
from policies.policy import Policy


def show(
    name: str,
    *,
    ceiling: str | None,
    image: str | None,
    may_ask: bool,
    as_json: bool,
    every_rule: bool,
) -> int:
    from agent.untrusted_text import visible
    from policies.kernel import resolved
    from policies.kernel.rules import kernel_rules
    from sandbox.container.prepared_image import prepare
    from sandbox.engine.docker import Engine
    from sandbox.errors import ImageUnusable

    policy = permit(name, ceiling)
    ref = image or f"moonpool/{policy.image}:latest"
    engine = Engine.connect(environment.environ())
    info = engine.image(ref)
    if info is None:
        raise ImageUnusable(
            f"there is no image {ref}, and which files a policy lets run depends on it: build "
            f"it with `moonpool image build {policy.image}`, or name another by --image"
        )
    prepared = prepare(engine, info, on_progress=lambda line: print(visible(line), file=sys.stderr))
    figure = resolved.ResolvedPolicy(
        policy=policy,
        image=ref,
        rules=kernel_rules(policy, prepared.inventory, may_ask=may_ask),
        may_ask=may_ask,
    )
    if as_json:
        print(json.dumps(resolved.as_json(figure), indent=2))
    else:
        text = resolved.as_text(figure, every_rule=every_rule)
        print("\n".join(visible(line) for line in text.splitlines()))
    return exit_codes.DONE


def about_image(policy: Policy) -> list[str]:
    """That there is no image of that name, or what the policy can't hold apart in it.

    Nothing where no engine is: a policy can be checked without.
    """
    from images import recipes
    from policies.kernel.rules import kernel_rules
    from sandbox.container.prepared_image import prepare
    from sandbox.engine.docker import Engine
    from sandbox.errors import EngineError, EngineUnavailable, ImageUnusable

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
