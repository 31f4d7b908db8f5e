"""The slash commands of a chat at an editor: what the person asks beside prompts to the agent.

Only what the person typed is ever a command; what a model or a file says never gets here.
"""

import io
import re
from collections.abc import Callable, Mapping

from acp.schema import AvailableCommand

from agent.chat.requests import Chat
from agent.chat.undo_text import to_person
from agent.chat.wording import cost_lines, policy_lines, so_far
from agent.errors import RecordError
from agent.lifecycle.patch_so_far import Preview
from agent.record.events.conversation import CallEnded
from agent.servers.acp.markup import fenced
from agent.servers.acp.permission import EditorAsker
from agent.servers.acp.prompt import Asked
from agent.servers.acp.view import EditorView
from agent.terminal.result import print_diffstat, print_risk
from agent.terminal.screen import PlainScreen
from agent.untrusted_text import decode, one_line, path_text
from policies.frozen import dataclass
from sandbox.errors import ContainerGone, FileError, PatchError, SandboxError
from sandbox.git.apply import DoesNotApply
from sandbox.patch.values import Change

COMMANDS = [
    AvailableCommand(name="apply", description="apply the patch so far to your files"),
    AvailableCommand(name="diff", description="show the patch so far"),
    AvailableCommand(name="undo", description="the sandbox's files back to before the last prompt"),
    AvailableCommand(name="cost", description="what was used, and what is left"),
    AvailableCommand(name="policy", description="what the agent may do"),
    AvailableCommand(name="output", description="what the last tool call gave, all of it"),
]
_COMMAND = re.compile(r"/([a-z]+)")
_DIFF_CHARACTERS = 100_000


def command_of(asked: Asked) -> str | None:
    """The name of the command that a prompt is; None: it is a request."""
    found = _COMMAND.fullmatch(asked.typed) if asked.alone else None
    return None if found is None else found[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class EditorCommands:
    """Each public method but `run` and `offered` is a command."""

    chat: Chat
    view: EditorView
    asker: EditorAsker

    def run(self, name: str) -> None:
        """Do a command by its name; says so where there is none of that name."""
        command = self._commands().get(name)
        if command is None:
            known = ", ".join(f"`/{name}`" for name in self._commands())
            self.view.say(
                f"no command /{one_line(name, 60)}: there are {known}. A prompt that begins with a "
                "slash gets a word before it."
            )
            return
        command()

    def _commands(self) -> Mapping[str, Callable[[], None]]:
        return {command.name: getattr(self, command.name) for command in COMMANDS}

    def offered(self, before: bytes) -> bytes:
        """Show what a prompt left to apply, where that is another patch than before; gives it."""
        taken = self._taken(self.chat.patch.preview)
        if taken is None or taken.patch.data == before:
            return before
        lines = self._stat(taken)
        if not lines:
            return taken.patch.data
        end = (
            "The export gate refuses it: nothing can be applied."
            if taken.refused
            else ("`/apply` applies it to your files, `/diff` shows it, `/undo` takes it back.")
        )
        self.view.say(f"\n\n**The patch so far**\n{fenced(chr(10).join(lines))}\n{end}\n")
        return taken.patch.data

    def diff(self) -> None:
        """Show the patch, and what the gate found in it."""
        taken = self._taken(self.chat.patch.preview)
        if taken is None:
            return
        if not taken.patch.data:
            self._nothing(taken)
            return
        self.view.say(f"{fenced(decode(taken.patch.data), limit=_DIFF_CHARACTERS)}\n")
        self.view.say(f"{fenced(chr(10).join(self._stat(taken)))}\n")

    def apply(self) -> None:
        """Have the person's files be as the sandbox is, once they said so."""
        taken = self._taken(self.chat.patch.to_apply)
        if taken is None:
            return
        if taken.refused:
            self.view.say(f"{fenced(chr(10).join(self._stat(taken)))}\n")
            self.view.say("the export gate refuses it: nothing is applied")
            return
        try:
            self._apply(taken)
        except (PatchError, RecordError) as error:
            self.view.say(f"not applied:\n{fenced(str(error))}\n")
            if isinstance(error, DoesNotApply):
                run_id = self.chat.session.job.run_id
                self.view.say(
                    "The files were changed since they were copied. Close the session, then "
                    f"`moonpool apply {run_id}` merges."
                )

    def _apply(self, taken: Preview) -> None:
        # Not the patch so far: after an earlier one and an undo this is what is written.
        changes = self.chat.patch.would_change(taken)
        if not changes:
            if taken.patch.data:
                self.view.say("your files have all of it already")
            else:
                self._nothing(taken)
            return
        where = self.chat.session.job.workspace
        title = one_line(f"Apply {len(changes)} changed file{'s' * (len(changes) > 1)} to {where}")
        refused = self.asker.may_apply(title, self._stat(taken, changes))
        if refused is not None:
            self.view.say(f"not applied: {refused.reason}")
            return
        applied = self.chat.patch.apply(taken)
        done = [f"{change.kind:<9} {path_text(change.path)}" for change in applied]
        self.view.say(f"applied:\n{fenced(chr(10).join(done))}\n")

    def undo(self) -> None:
        """Have the files in the sandbox go back to before the newest prompt."""
        try:
            undone = self.chat.undo()
        except FileError as error:
            self.view.say(f"not undone:\n{fenced(str(error))}\n")
            return
        if undone is None:
            self.view.say("there is no prompt to undo")
            return
        number, restored = undone
        text = "\n".join(to_person(restored))
        self.view.say(f"prompt {number} is undone, and the agent will be told:\n{fenced(text)}\n")

    def cost(self) -> None:
        """Show what was used of the budget."""
        self.view.say(f"{fenced(chr(10).join(cost_lines(self.chat.session)))}\n")

    def policy(self) -> None:
        """Show what the agent may do."""
        session = self.chat.session
        lines = policy_lines(session.job.policy)
        if session.job.policy.narrowed is not None:
            lines.append(one_line(session.job.policy.narrowed))
        if not session.box.seal.kernel_enforced:
            lines.append("the kernel does NOT enforce it in this session")
        self.view.say(f"{fenced(chr(10).join(lines))}\n")

    def output(self) -> None:
        """Show what the newest tool call gave."""
        ended = [event for event in self.chat.session.journal.log if isinstance(event, CallEnded)]
        if not ended:
            self.view.say("no tool was called so far")
            return
        self.view.say(f"{fenced(ended[-1].text, limit=_DIFF_CHARACTERS)}\n")

    # -- the patch -------------------------------------------------------------------------

    def _taken(self, take: Callable[[], Preview]) -> Preview | None:
        try:
            return take()
        except ContainerGone:
            raise
        except (SandboxError, PatchError) as error:
            self.view.say(f"the patch can't be made now:\n{fenced(str(error))}\n")
            return None

    def _nothing(self, taken: Preview) -> None:
        self.view.say("nothing changed so far")
        if taken.patch.left_out:
            self.view.say(f"; {len(taken.patch.left_out)} paths that no patch carries did")

    def _stat(self, taken: Preview, changes: tuple[Change, ...] | None = None) -> list[str]:
        """Findings and changed files, in the words of a run's end."""
        text = io.StringIO()
        screen = PlainScreen(text)
        summary = so_far(self.chat, taken, changes)
        print_risk(screen, summary)
        print_diffstat(screen, summary)
        return text.getvalue().splitlines()
