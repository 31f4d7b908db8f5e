"""The commands of a chat: what a person asks of it beside requests to the agent."""

import shlex
from collections.abc import Callable, Mapping

from agent.chat.requests import Chat
from agent.chat.undo_text import to_person
from agent.chat.wording import cost_lines, policy_lines, so_far
from agent.cli.chat.voice import ChatVoice
from agent.errors import RecordError
from agent.lifecycle.patch_so_far import Preview
from agent.record.events.conversation import CallEnded, CallStarted
from agent.record.events.kinds import Event
from agent.terminal.approval_prompt import ChatAsker, answer
from agent.terminal.diff import print_patch
from agent.terminal.progress import Display
from agent.terminal.result import print_diffstat, print_risk
from agent.untrusted_text import one_line, path_text, visible
from policies.frozen import dataclass
from policies.loading import bundled_names
from sandbox.cache import write_atomically
from sandbox.errors import ContainerGone, FileError, PatchError, SandboxError
from sandbox.git.apply import DoesNotApply

_DIFF_LINES = 300
_OUTPUT_CHARACTERS = 20_000
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


@dataclass(frozen=True, slots=True, kw_only=True)
class SlashCommands:
    """Each public method but `run` is a command."""

    chat: Chat
    voice: ChatVoice
    display: Display
    asker: ChatAsker | None
    """None: nobody can be asked, so nothing is applied from here."""

    def run(self, name: str, argument: str) -> bool:
        """Do a command by its name; False where there is none of that name."""
        if name == "output":
            self.output(argument)
            return True
        command = None if argument else self._plain().get(name)
        if command is None:
            return False
        command()
        return True

    def _plain(self) -> Mapping[str, Callable[[], None]]:
        """Those that take no argument."""
        names = [name.removeprefix("/") for name in HELP if name not in {"/output", "/quit"}]
        return {name: getattr(self, name) for name in names}

    def diff(self) -> None:
        taken = self._taken(self.chat.patch.preview)
        if taken is None:
            return
        if not taken.patch.data:
            self._nothing(taken)
            return
        hidden = print_patch(self.voice.screen, taken.patch.data, limit=_DIFF_LINES)
        if hidden:
            path = self.chat.session.record.directory / PREVIEW
            try:
                write_atomically(path, taken.patch.data)
            except OSError as error:
                self.voice.say(
                    f"and {hidden} lines more; {path} can't be written: {error}", "yellow"
                )
            else:
                self.voice.say(f"and {hidden} lines more: all of it is in {path}", "yellow")
        print_risk(self.voice.screen, so_far(self.chat, taken))

    def _taken(self, take: Callable[[], Preview]) -> Preview | None:
        try:
            return take()
        except ContainerGone:
            raise
        except (SandboxError, PatchError) as error:
            self.voice.say("the patch can't be made now:", "red")
            self.voice.quote(str(error), "red")
            return None

    def _nothing(self, taken: Preview) -> None:
        self.voice.say("nothing changed so far")
        if taken.patch.left_out:
            self.voice.say(f"{len(taken.patch.left_out)} paths that no patch carries did", "yellow")

    def apply(self) -> None:
        taken = self._taken(self.chat.patch.to_apply)
        if taken is None:
            return
        print_risk(self.voice.screen, so_far(self.chat, taken))
        if taken.refused:
            self.voice.say("the export gate refuses it: nothing is applied", "red")
            return
        try:
            if self._consented(taken):
                for change in self.chat.patch.apply(taken):
                    self.voice.say(f"  {change.kind:<9} {path_text(change.path)}", "green")
        except (PatchError, RecordError) as error:
            self.voice.quote(str(error), "red")
            if isinstance(error, DoesNotApply):
                words = "the workspace was changed by others: leave with /quit, then merge"
                self.voice.say(words, "yellow")

    def _consented(self, taken: Preview) -> bool:
        # Not the patch so far: after an earlier /apply and an /undo this is what is written.
        changes = self.chat.patch.would_change(taken)
        if not changes and not taken.patch.data:
            self._nothing(taken)
            return False
        if not changes:
            self.voice.say("the workspace has all of it already")
            return False
        print_diffstat(self.voice.screen, so_far(self.chat, taken, changes))
        if self.asker is None:
            run_id = self.chat.session.job.run_id
            self.voice.say(
                f"not applied: there is no terminal to ask at. Afterwards: moonpool apply {run_id}",
                "yellow",
            )
            return False
        where = visible(str(self.chat.session.job.workspace))
        with self.chat.session.clock.stopped():
            said = answer(
                self.voice.screen, self.chat.session.interrupts, f"apply to {where}? [y/N] "
            )
        if said in {"y", "yes"}:
            return True
        self.voice.say("not applied")
        return False

    def undo(self) -> None:
        try:
            undone = self.chat.undo()
        except FileError as error:
            self.voice.say("not undone:", "red")
            self.voice.quote(str(error), "red")
            return
        if undone is None:
            self.voice.say("there is no request to undo")
            return
        number, restored = undone
        self.voice.say(f"request {number} is undone, and the agent will be told:", "green")
        for text in to_person(restored):
            self.voice.quote(text, "dim")

    def output(self, argument: str) -> None:
        ended = [event for event in self.chat.session.journal.log if isinstance(event, CallEnded)]
        if argument:
            ended = [event for event in ended if str(event.number) == argument]
        if not ended:
            self.voice.say("there is no such call" if argument else "no tool was called so far")
            return
        text = visible(ended[-1].text)
        self.voice.quote(text[:_OUTPUT_CHARACTERS], "dim")
        if len(text) > _OUTPUT_CHARACTERS:
            self.voice.say(f"{len(text) - _OUTPUT_CHARACTERS} characters more are in events.jsonl")

    def plan(self) -> None:
        plans = [event for event in self.chat.session.journal.log if _is_plan(event)]
        if not plans:
            self.voice.say("the agent has made no plan")
            return
        newest = plans[-1]
        if isinstance(newest, CallStarted):
            self.display.plan(newest.arguments)

    def cost(self) -> None:
        for text in cost_lines(self.chat.session):
            self.voice.say(text)

    def policy(self) -> None:
        policy = self.chat.session.job.policy
        for text in policy_lines(policy):
            self.voice.say(text)
        narrowed = policy.narrowed
        if narrowed is not None:
            self.voice.say(one_line(narrowed), "yellow")
        seal = self.chat.session.box.seal
        if not seal.kernel_enforced:
            self.voice.say("the kernel does NOT enforce it in this chat", "bold red")
        file = policy.where.file
        bundled = file.removesuffix(".yaml")
        shown = bundled if bundled in bundled_names() else shlex.quote(file)
        self.voice.say(f"all of it: moonpool policy show {one_line(shown)}", "dim")

    def help(self) -> None:
        for name, words in HELP.items():
            self.voice.say(f"{name:<9} {words}")
        self.voice.say(
            "Ctrl-C stops what runs; twice: at once. Escape, then Enter: a new line.", "dim"
        )


def _is_plan(event: Event) -> bool:
    return isinstance(event, CallStarted) and event.tool == "update_plan"
