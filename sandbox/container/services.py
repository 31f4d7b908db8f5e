"""A policy's services: what a guest is told of them, and their start, each when the last is ready.

What a guest says of a service is shown and believed no further: a service that is not there is one
that the tests do not reach.
"""

import os
import time

from policies.frozen import dataclass
from policies.kernel.image import Inventory
from policies.kernel.rules import PathRule
from policies.kernel.services import service_directory, service_domain
from policies.policy import Policy, ServiceRule
from sandbox.errors import KernelUnsupported, ServiceFailed
from sandbox.guest.protocol import PathAccess
from sandbox.guest.service_protocol import ServiceStarted, StartService
from sandbox.link import GuestLink

LANDLOCK_ABI_NEEDED = 6
"""Linux 6.12. Before it, a domain can't be kept from signalling what is outside of it."""
_GRACE_S = 30.0
_SHOWN = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedService:
    rule: ServiceRule
    rules: tuple[PathRule, ...]
    missing: tuple[str, ...]
    """Programs that the image does not hold."""

    def request(self) -> StartService:
        """What the guest is told of it."""
        return StartService(
            directory=service_directory(self.rule).encode(),
            command=self.rule.command.encode(),
            ready=self.rule.ready.encode(),
            timeout_ms=int(self.rule.timeout_s * 1000),
            rules=[
                PathAccess(path=os.fsencode(rule.path), access=int(rule.access))
                for rule in self.rules
            ],
        )


def planned(policy: Policy, inventory: Inventory) -> tuple[PlannedService, ...]:
    """The services of a policy in an image."""
    found = []
    for rule in policy.services:
        domain = service_domain(policy, rule, inventory)
        found.append(PlannedService(rule=rule, rules=domain.rules, missing=domain.missing))
    return tuple(found)


def start(link: GuestLink, services: tuple[PlannedService, ...], *, abi: int) -> tuple[str, ...]:
    """Start each and wait for it; a line for each, for a person.

    Args:
        abi: version of the kernel's Landlock.

    Raises:
        ServiceFailed: one does not become ready; the message ends with what it printed.
        KernelUnsupported: the kernel can't hold services and commands apart.
        SandboxLost: the guest does not answer.
    """
    if abi < LANDLOCK_ABI_NEEDED:
        raise KernelUnsupported(
            f"the kernel's Landlock (ABI {abi}) can't hold services and commands apart, which "
            f"takes ABI {LANDLOCK_ABI_NEEDED} (Linux 6.12): use a newer kernel, or a policy "
            "without `services`"
        )
    return tuple(_started(link, service) for service in services)


def _started(link: GuestLink, service: PlannedService) -> str:
    wanted = service.request()
    number = link.request()
    try:
        link.send(wanted, number=number)
        until = time.monotonic() + service.rule.timeout_s + _GRACE_S
        answer = link.answer_to(number, until=until)
    finally:
        link.end(number)
    if not isinstance(answer, ServiceStarted):
        raise link.nonsense(answer, wanted)
    if answer.ending == b"ready":
        return f"service {service.rule.name}: ready ({answer.waited_ms / 1000:.1f} s)"
    raise ServiceFailed(_failure(service, answer))


def _failure(service: PlannedService, answer: ServiceStarted) -> str:
    name = service.rule.name
    if answer.ending == b"ended":
        lines = [f"service {name}: its command ended with {answer.exit_code} before it was ready"]
    else:
        lines = [f"service {name}: not ready after {answer.waited_ms / 1000:.0f} s"]
        if answer.exit_code is not None:
            lines[0] += f"; its command ended with {answer.exit_code}"
    if service.missing:
        lines.append(f"the image does not hold {', '.join(service.missing)}")
    for what, printed in (
        (f"the last of what {name} printed", answer.printed),
        (f"the last of what `{service.rule.ready}` printed", answer.ready_printed),
    ):
        text = printed[-_SHOWN:].decode("utf-8", "replace").strip()
        if text:
            lines.append(f"{what}:\n{text}")
    lines.append(
        "it may run the programs that `services` lists for it or its lines name, and write in its "
        "own directory only"
    )
    return "\n".join(lines)
