"""``moonpool policy show``."""

import sys

from agent import exit_codes
from agent.cli.arguments import Command, Given, Misuse, argument, flag, text
from agent.cli.options import AS_JSON, CEILING
from agent.cli.saying import print_json, progress
from agent.config import environment
from agent.preparation.policy import permit
from agent.untrusted_text import one_line, visible
from images.build import held
from policies.file.schema import render
from policies.kernel import resolved
from policies.kernel.rules import kernel_rules
from policies.kernel.services import service_domain
from policies.policy import Policy
from sandbox.container.prepared_image import prepare
from sandbox.engine.docker import Engine
from sandbox.errors import ImageUnusable

NAME = argument("POLICY")
RESOLVED = flag("--resolved", help="Which files of the image it lets run, and why.")
IMAGE = text("--image", metavar="IMG", help="Instead of the policy's own; as `image:` names one.")
ASK = flag("--ask", help="As where somebody can be asked, on a terminal.")
RULES = flag("--rules", help="Print every Landlock rule.")


def show(given: Given) -> int:
    """Print a policy; gives the exit code."""
    if not given[RESOLVED] and (
        given[IMAGE] is not None or given[ASK] or given[AS_JSON] or given[RULES]
    ):
        raise Misuse("Invalid value: --image, --ask, --json and --rules go with --resolved")
    policy = permit(given[NAME], given[CEILING])
    return _resolved(policy, given) if given[RESOLVED] else _composed(policy)


def _composed(policy: Policy) -> int:
    """Print the policy as it counts: composed, narrowed by its ceilings, every key said."""
    if policy.bounds is not None:
        for over in policy.bounds.ceilings:
            print(one_line(f"# under the ceiling {over.where}"))
        for narrowing in policy.bounds.narrowings:
            print(one_line(f"#   {narrowing.key}: {narrowing.change} ({narrowing.by})"))
    print(render(policy), end="")
    return exit_codes.DONE


def _resolved(policy: Policy, given: Given) -> int:
    """Print which files of an image the policy lets run, and why."""
    ref = given[IMAGE] or policy.image
    engine = Engine.connect(environment.environ())
    info = held(engine, ref)
    if info is None:
        raise ImageUnusable.missing(ref)
    if policy.setup.makes_layer and not given[IMAGE]:
        print(
            "what the policy's set-up installs is not in this list: name its layer by --image "
            "(moonpool setup prints it)",
            file=sys.stderr,
        )
    prepared = prepare(engine, info, on_progress=progress)
    figure = resolved.ResolvedPolicy(
        policy=policy,
        image=ref,
        rules=kernel_rules(policy, prepared.inventory, may_ask=given[ASK]),
        may_ask=given[ASK],
        services={
            service.name: service_domain(policy, service, prepared.inventory)
            for service in policy.services
        },
    )
    if given[AS_JSON]:
        print_json(resolved.as_json(figure))
    else:
        text = resolved.as_text(figure, every_rule=given[RULES])
        print(visible(text.removesuffix("\n")))
    return exit_codes.DONE


COMMAND = Command(
    show,
    (NAME, CEILING, RESOLVED, IMAGE, ASK, AS_JSON, RULES),
    """

    Example: moonpool policy show default --resolved
    """,
)
