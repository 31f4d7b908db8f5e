"""What is said in a chat of its requests, patch, budget and policy: words, wherever they go."""

from agent.chat.requests import Chat
from agent.lifecycle.patch_so_far import Preview
from agent.lifecycle.session import RunSession
from agent.record import outcome as outcomes
from agent.record.outcome import (
    Conversation,
    Finished,
    Interrupted,
    LimitReached,
    ModelFailed,
    RunLimit,
)
from agent.record.summary import RunSummary, running_summary
from agent.untrusted_text import one_line, visible
from policies.policy import Policy
from sandbox.patch.values import Change


def so_far(chat: Chat, taken: Preview, changes: tuple[Change, ...] | None = None) -> RunSummary:
    """As the commands show a run that is over; `changes` in place of the patch's own."""
    patch = taken.patch
    return running_summary(chat.session.journal.state).replaced(
        {
            "findings": taken.findings,
            "changes": patch.changes if changes is None else changes,
            "left_out": patch.left_out,
            "patch": "so far",
        }
    )


def ended_in_words(ended: Conversation, session: str) -> str:
    """How a request ended, and what can be done then; empty where its answer says it all.

    Args:
        session: what the chat is called where it is had.
    """
    detail = visible(outcomes.detail(ended))
    match ended:
        case Finished():
            return ""
        case Interrupted():
            return "stopped: what was done stays; /undo takes it back"
        case LimitReached(limit=RunLimit.CONTEXT):
            return f"the conversation is full: {detail}; to go on: /apply, then a new {session}"
        case LimitReached():
            return (
                f"limit reached: {detail}; nothing more of this {session} is served: /apply, then "
                "a new one, or a policy with a larger budget"
            )
        case ModelFailed():
            return f"{detail} (nothing is lost: ask again)"
        case _:
            return f"{outcomes.name(ended)}: {detail}"


def cost_lines(session: RunSession) -> list[str]:
    """What was used of the budget, and what it allows."""
    budget, policy = session.budget, session.job.policy
    used = budget.used
    cached = f"({used.cache_read_tokens} from the cache)"
    lines = [
        f"turns          {budget.turns} of {policy.budget.turns}",
        f"input tokens   {used.all_input} of {policy.budget.input_tokens} {cached}",
        f"output tokens  {used.output_tokens} of {policy.budget.output_tokens}",
    ]
    if policy.budget.usd is not None:
        lines.append(f"dollars        {budget.usd or 0.0:.4f} of {policy.budget.usd:g}")
    elif budget.usd is not None:
        lines.append(f"dollars        {budget.usd:.4f}; the policy sets no limit")
    return [
        *lines,
        f"time           {budget.elapsed_s:.0f} s of {policy.limits.time_s:.0f} s of work",
    ]


def policy_lines(policy: Policy) -> list[str]:
    """What the agent may do, in short."""
    asking = sorted({rule.program for rule in policy.commands if rule.ask})
    programs = len({rule.program for rule in policy.commands})
    limits = policy.limits
    dollars = "" if policy.budget.usd is None else f", ${policy.budget.usd:g}"
    lines = [
        f"{policy.name}  ({policy.where.file})",
        f"tools    {', '.join(policy.tools) or 'none'}",
        f"programs {programs}; asked about: {', '.join(asking) or 'none'}",
        f"writing  {', '.join(policy.paths.write) or 'nowhere'}",
        f"protect  {', '.join(policy.paths.protect) or 'nothing'}",
        f"limits   {limits.command_timeout_s:g} s a command, {limits.time_s:g} s in all",
        f"budget   {policy.budget.turns} turns{dollars}",
    ]
    return [one_line(line, 1000) for line in lines]
