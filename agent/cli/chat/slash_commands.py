"""The person's side of a chat: lines in, requests and commands, and what they show.

Only what the person types is ever a command; what a model or a file says never gets here.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from agent.chat.requests import Chat, Preview
from agent.chat.undo_text import to_person
from agent.cli.chat.line_reader import InputCleared, InputEnded, InputLine, LineReader
from agent.errors import RecordError
from agent.interrupts import SignalReceived
from agent.record import outcome as outcomes
from agent.record.events.encoding import plain
from agent.record.events.types import CallEnded, CallStarted, Event
from agent.record.outcome import (
    Conversation,
    Finished,
    Interrupted,
    LimitReached,
    ModelFailed,
    RunLimit,
    SandboxFailed,
)
from agent.record.runs import RecordedRun
from agent.session import RunSession
from agent.terminal.approval_prompt import ChatAsker, answer
from agent.terminal.diff import print_patch
from agent.terminal.progress import Display
from agent.terminal.result import print_diffstat, print_risk
from agent.terminal.screen import Line, Screen
from agent.untrusted_text import one_line, path_text, visible
from policies.policy import Policy
from sandbox.atomic_write import write_atomically
from sandbox.errors import ContainerGone, FileError, PatchError, SandboxError
from sandbox.git.apply import DoesNotApply
from sandbox.patch.values import Change

_COMMAND = re.compile(r"/([a-z]+)(?: +(\S.*))?")
_DIFF_LINES = 300
_OUTPUT_CHARACTERS = 20_000
_PATHS_SHOWN = 12
_HANGING = "    "
PREVIEW = "preview.diff"
"""In the record: what ``/diff`` showed last."""

HELP = {
    "/diff": "the patch so far",
    "/apply": "apply it to the workspace, and go on",
    "/undo": "files back to before the last request; again: the one before",
    "/output": "what a tool call gave: /output, or /output N",
    "/plan": "the agent's plan",
    "/cost": "what was used, and what is left",
    "/policy": "what the agent may do",
    "/help": "this",
    "/quit": "leave; the patch is made (Ctrl-D too)",
}


class _Quit(Exception):
    """The person leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatDriver:
    """Leads a room's conversation for a person; fits `agent.room.Talk`."""

    reader: LineReader
    screen: Screen
    display: Display
    asker: ChatAsker | None
    """None: nobody can be asked, so nothing is applied from here."""

    def __call__(self, session: RunSession) -> Conversation:
        if self.asker is not None:
            self.asker.clock = session.clock
        chat = Chat(session)
        self._say("a request, or /help; all work stays in the sandbox until /apply or the end")
        while True:
            try:
                if not self._step(chat):
                    return chat.last
            except SignalReceived as stop:
                if session.interrupts.leaving or self.asker is None:
                    return Interrupted(signal=stop.name)
                self._say("stopped", "yellow")
            except SandboxError as error:
                return SandboxFailed(message=str(error))
            if isinstance(chat.last, SandboxFailed):
                return chat.last
            if session.interrupts.leaving:
                return Interrupted(signal=session.interrupts.name)

    def _step(self, chat: Chat) -> bool:
        """Take one line and do what it says; False: it was the last."""
        interrupts = chat.session.interrupts
        with interrupts.request():
            line = self._read(chat.session)
        match line:
            case InputEnded():
                return False
            case InputCleared():
                if line.complaint:
                    self._say(line.complaint, "yellow")
            case InputLine():
                try:
                    with interrupts.request():
                        self._do(chat, line.text)
                except _Quit:
                    return False
            case _:
                assert_never(line)
        return True

    def _read(self, session: RunSession) -> InputLine | InputCleared | InputEnded:
        with session.clock.stopped():
            return self.reader.read()

    def _do(self, chat: Chat, text: str) -> None:
        match = _COMMAND.fullmatch(text)
        if match is None:
            self._ask(chat, text)
            return
        name, argument = match[1], match[2] or ""
        commands: Mapping[str, Callable[[], None]] = {
            "diff": lambda: self._diff(chat),
            "apply": lambda: self._apply(chat),
            "undo": lambda: self._undo(chat),
            "output": lambda: self._output(chat, argument),
            "plan": lambda: self._plan(chat),
            "cost": lambda: self._cost(chat),
            "policy": lambda: self._policy(chat),
            "help": self._help,
            "quit": self._quit,
            "exit": self._quit,
        }
        command = commands.get(name)
        if command is None or (argument and name != "output"):
            self._say(
                f"no command {one_line(text, 60)}: see /help. A request that begins with a slash "
                "gets a word before it.",
                "yellow",
            )
            return
        command()

    # -- requests --------------------------------------------------------------------------

    def _ask(self, chat: Chat, text: str) -> None:
        ended = chat.ask(text)
        self.display.close()
        match ended:
            case Finished():
                pass
            case Interrupted():
                self._say("stopped: what was done stays; /undo takes it back", "yellow")
            case LimitReached(limit=RunLimit.CONTEXT):
                self._say(f"the conversation is full: {one_line(ended.detail, 400)}", "yellow")
                self._say("to go on: /apply or /quit, then a new chat", "yellow")
            case LimitReached():
                self._say(f"limit reached: {one_line(ended.detail, 400)}", "yellow")
                self._say(
                    "no request of this chat is served any more: /apply or /quit, then a new chat, "
                    "or a policy with a larger budget",
                    "yellow",
                )
            case ModelFailed():
                self._quote(ended.message, "red")
                self._say("nothing is lost: ask again, or /quit", "yellow")
            case _:
                self._say(f"{outcomes.name(ended)}:", "red")
                self._quote(outcomes.detail(ended), "red")

    # -- commands --------------------------------------------------------------------------

    def _diff(self, chat: Chat) -> None:
        taken = self._taken(chat.preview)
        if taken is None:
            return
        if not taken.patch.data:
            self._nothing(taken)
            return
        hidden = print_patch(self.screen, taken.patch.data, limit=_DIFF_LINES)
        if hidden:
            path = chat.session.record.directory / PREVIEW
            try:
                write_atomically(path, taken.patch.data)
            except OSError as error:
                self._say(f"and {hidden} lines more; {path} can't be written: {error}", "yellow")
            else:
                self._say(f"and {hidden} lines more: all of it is in {path}", "yellow")
        print_risk(self.screen, _as_run(chat, taken))

    def _taken(self, take: Callable[[], Preview]) -> Preview | None:
        try:
            return take()
        except ContainerGone:
            raise
        except (SandboxError, PatchError) as error:
            self._say("the patch can't be made now:", "red")
            self._quote(str(error), "red")
            return None

    def _nothing(self, taken: Preview) -> None:
        self._say("nothing changed so far")
        if taken.patch.left_out:
            self._say(f"{len(taken.patch.left_out)} paths that no patch carries did", "yellow")

    def _apply(self, chat: Chat) -> None:
        taken = self._taken(chat.to_apply)
        if taken is None:
            return
        print_risk(self.screen, _as_run(chat, taken))
        if taken.refused:
            self._say("the export gate refuses it: nothing is applied", "red")
            return
        if self.asker is None:
            print_diffstat(self.screen, _as_run(chat, taken))
            run_id = chat.session.job.run_id
            self._say(
                f"not applied: there is no terminal to ask at. Afterwards: moonpool apply {run_id}",
                "yellow",
            )
            return
        try:
            if self._consented(chat, taken):
                for change in chat.apply(taken):
                    self._say(f"  {change.kind:<9} {path_text(change.path)}", "green")
        except (PatchError, RecordError) as error:
            self._quote(str(error), "red")
            if isinstance(error, DoesNotApply):
                words = "the workspace was changed by others: leave with /quit, then merge"
                self._say(words, "yellow")

    def _consented(self, chat: Chat, taken: Preview) -> bool:
        # Not the patch so far: after an earlier /apply and an /undo this is what is written.
        changes = chat.would_change(taken)
        if not changes and not taken.patch.data:
            self._nothing(taken)
            return False
        if not changes:
            self._say("the workspace has all of it already")
            return False
        print_diffstat(self.screen, _as_run(chat, taken, changes))
        where = visible(str(chat.session.job.workspace))
        with chat.session.clock.stopped():
            said = answer(self.screen, chat.session.interrupts, f"apply to {where}? [y/N] ")
        if said in {"y", "yes"}:
            return True
        self._say("not applied")
        return False

    def _undo(self, chat: Chat) -> None:
        try:
            undone = chat.undo()
        except FileError as error:
            self._say("not undone:", "red")
            self._quote(str(error), "red")
            return
        if undone is None:
            self._say("there is no request to undo")
            return
        number, restored = undone
        self._say(f"request {number} is undone, and the agent will be told:", "green")
        for path in [*restored.back, *restored.removed][:_PATHS_SHOWN]:
            kind = "removed" if path in restored.removed else "back"
            self._say(f"  {kind:<7}  {path_text(path)}", "dim")
        for text in to_person(restored):
            self._quote(text, "dim")

    def _output(self, chat: Chat, argument: str) -> None:
        ended = [event for event in chat.session.journal.log if isinstance(event, CallEnded)]
        if argument:
            ended = [event for event in ended if str(event.number) == argument]
        if not ended:
            self._say("there is no such call" if argument else "no tool was called so far")
            return
        text = visible(ended[-1].text)
        for line in text[:_OUTPUT_CHARACTERS].split("\n"):
            self.screen.print_hanging(_quoted(line, "dim"))
        if len(text) > _OUTPUT_CHARACTERS:
            self._say(f"{len(text) - _OUTPUT_CHARACTERS} characters more are in events.jsonl")

    def _plan(self, chat: Chat) -> None:
        plans = [event for event in chat.session.journal.log if _is_plan(event)]
        if not plans:
            self._say("the agent has made no plan")
            return
        newest = plans[-1]
        if isinstance(newest, CallStarted):
            self.display.plan(newest.arguments)

    def _cost(self, chat: Chat) -> None:
        budget, policy = chat.session.budget, chat.session.job.policy
        used = budget.used
        read = used.input_tokens + used.cache_read_tokens + used.cache_write_tokens
        self._say(f"turns          {budget.turns} of {policy.budget.turns}")
        self._say(
            f"input tokens   {read} of {policy.budget.input_tokens} "
            f"({used.cache_read_tokens} from the cache)"
        )
        if policy.budget.usd is not None:
            self._say(f"dollars        {budget.usd or 0.0:.4f} of {policy.budget.usd:g}")
        elif budget.usd is not None:
            self._say(f"dollars        {budget.usd:.4f}; the policy sets no limit")
        self._say(f"output tokens  {used.output_tokens} of {policy.budget.output_tokens}")
        self._say(
            f"time           {budget.elapsed_s:.0f} s of {policy.limits.time_s:.0f} s of work"
        )

    def _policy(self, chat: Chat) -> None:
        policy = chat.session.job.policy
        for text in _policy_lines(policy):
            self._say(one_line(text, 1000))
        narrowed = policy.narrowed
        if narrowed is not None:
            self._say(one_line(narrowed), "yellow")
        seal = chat.session.box.seal
        if not seal.kernel_enforced:
            self._say("the kernel does NOT enforce it in this chat", "bold red")
        self._say(f"all of it: moonpool policy show {one_line(policy.name)}", "dim")

    def _help(self) -> None:
        for name, words in HELP.items():
            self._say(f"{name:<9} {words}")
        self._say("Ctrl-C stops what runs; twice: at once. Escape, then Enter: a new line.", "dim")

    def _quit(self) -> None:
        raise _Quit

    def _quote(self, text: str, style: str) -> None:
        """Words that others had a hand in."""
        for line in visible(text).split("\n"):
            self.screen.print_hanging(_quoted(line, style))

    def _say(self, text: str, style: str = "default") -> None:
        self.screen.print_hanging(Line(text, style), margin=_HANGING)


def _quoted(line: str, style: str) -> Line:
    return Line(f"  {line}".expandtabs(8), style)


def _as_run(chat: Chat, taken: Preview, changes: tuple[Change, ...] | None = None) -> RecordedRun:
    """As the commands show a run that is over; `changes` in place of the patch's own."""
    patch = taken.patch
    record = chat.session.record
    summary = {
        "findings": plain(taken.findings),
        "changes": plain(patch.changes if changes is None else changes),
        "left_out": plain(patch.left_out),
        "patch": "so far",
    }
    return RecordedRun(id=record.run_id, directory=Path(record.directory), summary=summary)


def _is_plan(event: Event) -> bool:
    return isinstance(event, CallStarted) and event.tool == "update_plan"


def _dollars(policy: Policy) -> str:
    return "" if policy.budget.usd is None else f", ${policy.budget.usd:g}"


def _policy_lines(policy: Policy) -> list[str]:
    asking = sorted({rule.program for rule in policy.commands if rule.ask})
    programs = len({rule.program for rule in policy.commands})
    limits = policy.limits
    return [
        f"{policy.name}  ({policy.where.file})",
        f"tools    {', '.join(policy.tools) or 'none'}",
        f"programs {programs}; asked about: {', '.join(asking) or 'none'}",
        f"writing  {', '.join(policy.paths.write) or 'nowhere'}",
        f"protect  {', '.join(policy.paths.protect) or 'nothing'}",
        f"limits   {limits.command_timeout_s:g} s a command, {limits.time_s:g} s in all",
        f"budget   {policy.budget.turns} turns{_dollars(policy)}",
    ]
