"""The sandboxes that the client of this server has, by their handles.

A handle is all that gives a sandbox: it is drawn at random, told once, and listed nowhere. Owns how
many there are at once, what is settled before one is opened, and that all are exported at the end.
"""

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import anyio
from anyio.to_thread import run_sync
from mcp.types import RequestId

from agent.config import environment
from agent.config.instructions import Instructions
from agent.lifecycle.job import Job
from agent.preparation import model as model_setup
from agent.preparation.policy import permit
from agent.preparation.workspace import is_inside, refuse_inside
from agent.record.store import RunRecord, new_run_id
from agent.record.summary import RunSummary
from agent.servers.mcp.client_sandbox import ClientSandbox
from agent.servers.mcp.desk import RequestRefused
from agent.servers.mcp.roots import workspace_in
from agent.servers.mcp.settings import McpSettings
from agent.untrusted_text import one_line
from sandbox.workspace.source import on_host

_REMEMBERED = 256
"""Closed ones, of which a late request is told what became of them."""
_TASK_CHARACTERS = 4000


class Sandboxes:
    """For the event loop's thread."""

    def __init__(self, settings: McpSettings) -> None:
        self.settings = settings
        self._all: OrderedDict[str, ClientSandbox] = OrderedDict()
        self._opening = 0
        self._ending = ""

    async def open(
        self,
        workspace: str,
        policy: str | None,
        task: str,
        *,
        request: RequestId | None,
        client: str,
        may_ask: bool,
        begun: Callable[[ClientSandbox], None] = lambda _: None,
    ) -> ClientSandbox:
        """Open one.

        Args:
            request: the id of the request for it, by which it is taken back.
            begun: is given it as soon as it begins to open.

        Raises:
            RequestRefused: there are too many, or it can't be opened.
            UsageError, PolicyError, RecordError: what was asked for can't be used.
        """
        settings = self.settings
        if self._ending:
            raise RequestRefused(f"the server was ended by {self._ending}")
        standing = sum(one.alive for one in self._all.values()) + self._opening
        if standing >= settings.most:
            raise RequestRefused(
                f"{standing} sandboxes stand already, as many as the operator lets stand at "
                "once: close one of them first"
            )
        made_of = partial(self._made, workspace, policy, task, client, may_ask=may_ask)
        self._opening += 1
        try:
            # Shielded: a record that was made is of a run that ends.
            with anyio.CancelScope(shield=True):
                made = await run_sync(made_of)
            self._all[made.handle] = made
            made.request = request
        finally:
            self._opening -= 1
        self._forget()
        begun(made)
        made.begin()
        opened = asyncio.wrap_future(made.opened)
        # Nobody waits any more for one that is taken back.
        opened.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(opened)
        return made

    def take_back(self, request: RequestId) -> None:
        """Close what this request opened: it gets no answer, so that nobody knows the handle."""
        for one in self._all.values():
            if one.request == request and one.alive:
                one.end("the client, which took it back")

    def _made(
        self, workspace: str, policy: str | None, task: str, client: str, *, may_ask: bool
    ) -> ClientSandbox:
        """All that is settled before a sandbox is opened, as `agent.preparation` does for a run."""
        settings = self.settings
        place = workspace_in(settings.roots, workspace)
        named = settings.policies.get(
            policy if policy is not None else next(iter(settings.policies))
        )
        if named is None:
            raise RequestRefused(f"no such policy here; there are: {', '.join(settings.policies)}")
        refuse_inside(settings.home, place, "MOONPOOL_HOME")
        if is_inside(on_host(place), settings.home):
            raise RequestRefused(f"{place} lies in MOONPOOL_HOME: the records are no workspace")
        for own in environment.deciding_directories() if settings.may_apply else ():
            if is_inside(own, place) or is_inside(on_host(place), own):
                raise RequestRefused(
                    f"{own} decides over runs, and with --allow-apply a client would write to it: "
                    "open a folder that has nothing to do with it"
                )
        configuration = model_setup.load(root=place)
        # None of them may lie in the folder: with --allow-apply the client would write its own.
        for other in {*settings.policies.values()} - {named}:
            permit(other, settings.ceiling, root=place)
        permitted = permit(named, settings.ceiling, root=place)
        reviewer = model_setup.reviewer(permitted, configuration, prices=None)
        record = RunRecord.create(
            settings.home, run_id=new_run_id(), known_secrets=settings.known_secrets
        )
        job = Job(
            run_id=record.run_id,
            task=task.strip()[:_TASK_CHARACTERS] or f"what {client} asks for over MCP",
            workspace=place,
            policy=permitted,
            verify=settings.verify,
            may_ask=may_ask,
            kernel_policy=settings.kernel_policy,
            instructions=Instructions(context_files=False),
            environ=settings.environ,
        )
        return ClientSandbox(
            handle=secrets.token_urlsafe(18),
            client=client,
            job=job,
            record=record,
            settings=settings,
            reviewer=reviewer,
        )

    def _forget(self) -> None:
        for handle in [handle for handle, one in self._all.items() if not one.alive]:
            if len(self._all) <= _REMEMBERED:
                return
            del self._all[handle]

    def of(self, handle: str) -> ClientSandbox:
        """Raises RequestRefused where there is none, in words that tell nothing of any other."""
        found = self._all.get(handle)
        if found is None or not found.opened.done():
            raise RequestRefused(
                f"there is no sandbox {one_line(handle, 60)!r}: take the handle that open gave"
            )
        if not found.alive:
            raise RequestRefused(found.last_words())
        found.request = None  # whoever names it was told of it
        return found

    async def end_all(self, why: str) -> None:
        """Export and close whatever stands; comes back when that is done."""
        self._ending = why
        standing = [one for one in self._all.values() if one.alive]
        for one in standing:
            one.end(why)
        with anyio.CancelScope(shield=True):
            for one in standing:
                await ended(one)


async def ended(one: ClientSandbox) -> RunSummary | None:
    """Wait for the end of one; None where a defect ended it."""
    done = asyncio.wrap_future(one.ended)
    await asyncio.shield(asyncio.wait([done]))
    return None if done.cancelled() or done.exception() is not None else done.result()
