"""The slash commands of a chat: what its person asks of it beside requests to the agent.

Owns what each does and what it says. Refuses to know where that is shown and how a person is asked
(`ChatFace`): at a terminal it is `agent.cli.chat`, in an editor `agent.servers.acp`.
"""

import shlex
from collections.abc import Callable, Mapping
from typing import Protocol

from agent.chat.requests import Chat
from agent.chat.undo_text import to_person
from agent.chat.wording import cost_lines, policy_lines, so_far
from agent.errors import RecordError
from agent.lifecycle.patch_so_far import Preview
from agent.record.events.conversation import CallEnded
from agent.record.summary import RunSummary
from agent.untrusted_text import one_line, path_text
from policies.frozen import dataclass
from policies.loading import bundled_names
from sandbox.cache import write_atomically
from sandbox.errors import ContainerGone, FileError, PatchError, SandboxError
from sandbox.git.apply import DoesNotApply

PREVIEW = "preview.diff"
"""In the record: what ``/diff`` showed last, where that was not all of it."""
EVERYWHERE = {
    "diff": "the patch so far",
    "apply": "apply it to the workspace, and go on",
    "undo": "files back to before the last request; again: the one before",
    "output": "what the last tool call gave",
    "cost": "what was used, and what is left",
    "policy": "what the agent may do",
}
"""The commands that every face has, in words for a list of them."""


class ChatFace(Protocol):
    """Where the commands are answered."""

    def say(self, text: str, style: str = "default") -> None:
        """One line of ours. A style is a colour or weight by name, where there are such."""

    def quote(self, text: str, style: str = "default") -> None:
        """Lines that stand apart: lists, and words that others had a hand in."""

    def show_patch(self, data: bytes) -> int:
        """Show a patch; gives how many lines of it were left out and not told of."""

    def show_findings(self, summary: RunSummary) -> None:
        """What the export gate found."""

    def refusal(self, summary: RunSummary) -> str:
        """Ask whether these changes are to be applied; gives why not, and nothing for a yes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlashCommands:
    """Each public method but `run` and `taken` is a command."""

    chat: Chat
    face: ChatFace
    offered: Mapping[str, str]
    """Those that there are, in words for a list of them."""
    request: str = "request"
    """What a request to the agent is called where it is made."""

    def run(self, name: str, argument: str = "") -> None:
        """Do a command by its name; says so where there is none of that name."""
        if name == "output":
            self.output(argument)
        elif name in self.offered and not argument:
            getattr(self, name)()
        else:
            words = one_line(f"/{name} {argument}".rstrip(), 60)
            known = ", ".join(f"/{known}" for known in self.offered)
            self.face.say(
                f"no command {words}: there are {known}. A {self.request} that begins with a "
                "slash gets a word before it.",
                "yellow",
            )

    def diff(self) -> None:
        """Show the patch, and what the gate found in it."""
        taken = self.taken(self.chat.patch.preview)
        if taken is None:
            return
        if not taken.patch.data:
            self._nothing(taken)
            return
        hidden = self.face.show_patch(taken.patch.data)
        if hidden:
            path = self.chat.session.record.directory / PREVIEW
            try:
                write_atomically(path, taken.patch.data)
            except OSError as error:
                words = f"{path} can't be written: {error}"
            else:
                words = f"all of it is in {path}"
            self.face.say(f"and {hidden} lines more: {words}", "yellow")
        self.face.show_findings(so_far(self.chat, taken))

    def apply(self) -> None:
        """Have the person's files be as the sandbox is, once they said so."""
        taken = self.taken(self.chat.patch.to_apply)
        if taken is None:
            return
        if taken.refused:
            self.face.show_findings(so_far(self.chat, taken))
            self.face.say("the export gate refuses it: nothing is applied", "red")
            return
        try:
            self._apply(taken)
        except (PatchError, RecordError) as error:
            self.face.say("not applied:", "red")
            self.face.quote(str(error), "red")
            if isinstance(error, DoesNotApply):
                self.face.say(
                    "the workspace was changed by others: leave, and then merge with "
                    f"moonpool apply {self.chat.session.job.run_id}",
                    "yellow",
                )

    def _apply(self, taken: Preview) -> None:
        # Not the patch so far: after an earlier /apply and an /undo this is what is written.
        changes = self.chat.patch.would_change(taken)
        if not changes and not taken.patch.data:
            self._nothing(taken)
        elif not changes:
            self.face.say("the workspace has all of it already")
        elif why := self.face.refusal(so_far(self.chat, taken, changes)):
            self.face.say(f"not applied: {why}", "yellow")
        else:
            applied = self.chat.patch.apply(taken)
            done = (f"{change.kind:<9} {path_text(change.path)}" for change in applied)
            self.face.say("applied:", "green")
            self.face.quote("\n".join(done), "green")

    def undo(self) -> None:
        """Have the files in the sandbox go back to before the newest request."""
        try:
            undone = self.chat.undo()
        except FileError as error:
            self.face.say("not undone:", "red")
            self.face.quote(str(error), "red")
            return
        if undone is None:
            self.face.say(f"there is no {self.request} to undo")
            return
        number, restored = undone
        words = f"{self.request} {number} is undone, and the agent will be told:"
        self.face.say(words, "green")
        self.face.quote("\n".join(to_person(restored)), "dim")

    def output(self, argument: str) -> None:
        """Show what the newest tool call gave, or the one of that number."""
        ended = [event for event in self.chat.session.journal.log if isinstance(event, CallEnded)]
        if argument:
            ended = [event for event in ended if str(event.number) == argument]
        if ended:
            self.face.quote(ended[-1].text, "dim")
        else:
            self.face.say("there is no such call" if argument else "no tool was called so far")

    def cost(self) -> None:
        """Show what was used of the budget."""
        self.face.quote("\n".join(cost_lines(self.chat.session)))

    def policy(self) -> None:
        """Show what the agent may do."""
        policy = self.chat.session.job.policy
        self.face.quote("\n".join(policy_lines(policy)))
        if policy.narrowed is not None:
            self.face.say(one_line(policy.narrowed), "yellow")
        if not self.chat.session.box.seal.kernel_enforced:
            self.face.say("the kernel does NOT enforce it in this chat", "bold red")
        file = policy.where.file
        bundled = file.removesuffix(".yaml")
        shown = bundled if bundled in bundled_names() else shlex.quote(file)
        self.face.say(f"all of it: moonpool policy show {one_line(shown)}", "dim")

    def taken(self, take: Callable[[], Preview]) -> Preview | None:
        """A patch of what stands now; None where it can't be made, which is said."""
        try:
            return take()
        except ContainerGone:
            raise
        except (SandboxError, PatchError) as error:
            self.face.say("the patch can't be made now:", "red")
            self.face.quote(str(error), "red")
            return None

    def _nothing(self, taken: Preview) -> None:
        self.face.say("nothing changed so far")
        if taken.patch.left_out:
            self.face.say(f"{len(taken.patch.left_out)} paths that no patch carries did", "yellow")
