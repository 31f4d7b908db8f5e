"""What the policy asks about, asked of the person behind the client, for that exact command.

The question holds the whole command as a terminal would show it, and is made for one call: its
answer counts for no other, no second time, and not after a time. In the revision of 2026-07-28 a
server can't ask on its own: the call comes back as a question, and the client makes it again with
the answer. Before that the question goes out in the middle of the call. `Resolve` does either.

A client that can't ask makes every such call a refusal. A client that answers for its person can't
be told from one that asks: whoever starts this server with a client trusts it with that.
"""

import secrets
import time
from collections.abc import Mapping
from typing import Annotated

import anyio
from anyio.to_thread import run_sync
from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.mcpserver import Context, Elicit
from mcp.shared.exceptions import MCPError
from mcp.types.version import is_version_at_least
from pydantic import BaseModel, Field

from agent.servers.mcp.sandboxes import Sandboxes
from agent.terminal.approval_text import question
from policies.decision import Answered, Approved, Ask, Call, Declined, decide, digest
from policies.frozen import dataclass

_ASKS_BY_RESULT = "2026-07-28"
"""From this revision on a question is the result of a call."""
_WIDTH = 100
_LONGEST = 16_000
"""Characters of a question that a person can be expected to read."""
_LONG_COMMAND = 4096
_MOST_WAITING = 256
_USED = "that approval was used already: make the call anew"


class Consent(BaseModel):
    """A person's answer."""

    approve: Annotated[bool, Field(description="Run exactly this command, this once.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    text: str
    until: float


def bash_arguments(
    command: str, timeout_s: float | None, *, background: bool
) -> Mapping[str, object]:
    """The arguments of the tool `bash` that a request comes to: what is asked about and what runs
    are the same."""
    arguments: dict[str, object] = {"command": command}
    if timeout_s is not None:
        arguments["timeout_s"] = timeout_s
    if background:
        arguments["background"] = True
    return arguments


class Approvals:
    """The questions of one server that wait for their answers."""

    def __init__(self, sandboxes: Sandboxes) -> None:
        self._sandboxes = sandboxes
        self._asked: dict[tuple[str, str], _Question] = {}

    async def of_run(
        self, sandbox: str, command: str, timeout_s: float | None, ctx: Context
    ) -> Elicit[Consent] | Answered | None:
        """A question, an answer, or None where nobody has to be asked."""
        return await self._of(sandbox, command, timeout_s, ctx, background=False)

    async def of_background(
        self, sandbox: str, command: str, ctx: Context
    ) -> Elicit[Consent] | Answered | None:
        """As `of_run`, for what is started in the background."""
        return await self._of(sandbox, command, None, ctx, background=True)

    async def _of(
        self, sandbox: str, command: str, timeout_s: float | None, ctx: Context, *, background: bool
    ) -> Elicit[Consent] | Answered | None:
        job = self._sandboxes.of(sandbox).job
        policy = job.policy_inside
        asks = any(rule.ask for rule in policy.commands) or policy.bounds is not None
        if not asks or not job.may_ask:
            return None
        arguments = bash_arguments(command, timeout_s, background=background)
        call = Call(tool="bash", arguments=arguments)
        if len(command) > _LONG_COMMAND:
            decision = await run_sync(decide, policy, call)
        else:
            decision = decide(policy, call)
        if not isinstance(decision, Ask):
            return None
        return await self._asked_about(sandbox, call, decision, ctx)

    async def _asked_about(
        self, sandbox: str, call: Call, ask: Ask, ctx: Context
    ) -> Elicit[Consent] | Answered:
        text = "\n".join(question(call, ask, width=_WIDTH))
        if len(text) > _LONGEST:
            return Declined(reason="it is too long for a person to read and approve: shorten it")
        text = f"{text}\n\nSandbox of run {self._sandboxes.of(sandbox).job.run_id}."
        version = ctx.protocol_version
        if version is None or not is_version_at_least(version, _ASKS_BY_RESULT):
            return await self._answer_now(text, ask, ctx)
        key = sandbox, ask.digest
        known = self._asked.get(key)
        if ctx.request_state is None:
            known = _Question(
                text=f"{text} Question {secrets.token_hex(4)}.",
                until=time.monotonic() + self._sandboxes.settings.answer_s,
            )
            self._keep(key, known)
        elif known is None:
            return Declined(reason=_USED)
        elif time.monotonic() > known.until:
            del self._asked[key]
            return Declined(reason="nobody approved it in time")
        return Elicit(known.text, Consent)

    def _keep(self, key: tuple[str, str], asked: _Question) -> None:
        self._asked.pop(key, None)
        while len(self._asked) >= _MOST_WAITING:
            del self._asked[next(iter(self._asked))]
        self._asked[key] = asked

    async def _answer_now(self, text: str, ask: Ask, ctx: Context) -> Answered:
        answer_s = self._sandboxes.settings.answer_s
        try:
            with anyio.move_on_after(answer_s):
                return _answer(await ctx.elicit(text, Consent), ask.digest)
        except (MCPError, ValueError):
            return Declined(reason="the client gave no answer that can be read")
        return Declined(reason="nobody approved it in time")

    def settled(
        self, sandbox: str, arguments: Mapping[str, object], outcome: ElicitationResult[Consent]
    ) -> Answered | None:
        """What was answered to a call that is made now; its question is never answered again."""
        exact = digest(Call(tool="bash", arguments=arguments))
        asked = self._asked.pop((sandbox, exact), None)
        # What a resolver says without a question stands there as accepted, unlike a client's words.
        data: object = outcome.data if isinstance(outcome, AcceptedElicitation) else outcome
        if data is None or isinstance(data, Approved | Declined):
            return data
        if asked is None:  # two came with the one answer, and the other was first
            return Declined(reason=_USED)
        return _answer(outcome, exact)


def _answer(outcome: ElicitationResult[Consent], exact: str) -> Answered:
    match outcome:
        case AcceptedElicitation(data=Consent(approve=True)):
            return Approved(digest=exact)
        case _:
            return Declined(reason="the person said no")
