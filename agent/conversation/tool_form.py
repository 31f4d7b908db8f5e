"""How the model of one run makes its calls: as its service has them, or in the text of its answers.

Owns what an answer without a call is told that looks as if it were one, and when the run goes over
to calls in text: where the operator says so, where the model writes a call as text once more after
it was told, and where its service takes no tools. A model that made calls as it should is never
taken at its text. Refuses to know how a call in text reads (`agent.models.text_calls`).
"""

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from agent.conversation import prompts
from agent.errors import ModelRefusedRequest
from agent.models.interface import Reply, ToolForm, uses_of, words_of
from agent.record.events.conversation import TextFormChosen
from agent.record.journal import Journal
from policies.frozen import dataclass

if TYPE_CHECKING:
    from agent.models.text_calls.detection import CallLike

_MARKS = frozenset("`~<{[(")
"""Every call that is written as text has one of these, and most last words have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedCall:
    """An answer that is none: a call was meant, and nothing ran."""

    reason: str
    """Why the run ends where it goes on so."""
    nudge: str
    """For the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFormChoice:
    """Of one conversation. What was chosen is in the journal's state, so that a run that is taken
    up goes on with it."""

    setting: ToolForm
    model: str
    journal: Journal

    @property
    def label(self) -> str | None:
        """Of the fences that are calls; None: calls are made as the service has them."""
        chosen = self.journal.state.conversation.text_form
        if chosen is None or self.setting is ToolForm.NATIVE or chosen.model != self.model:
            return None
        return chosen.label

    def begin(self) -> None:
        """Go by what the operator says, before the model is asked anything."""
        if self.setting is ToolForm.TEXT and self.label is None:
            self._choose("configured")

    def refused(self, error: ModelRefusedRequest) -> bool:
        """Whether a refused request is worth making again, with the tools in its prompt."""
        from agent.models.text_calls.detection import no_tools_taken  # noqa: PLC0415 - as below

        if not self._may_learn or not no_tools_taken(str(error)):
            return False
        self._choose("refused")
        return True

    def missed_call(self, words: str, tools: Collection[str]) -> MissedCall | None:
        """What an answer is told that made no call; None: it is an answer.

        Args:
            words: what it says.
            tools: the names of those that there are.
        """
        label = self.label
        if label is None:
            return None if _MARKS.isdisjoint(words) else self._call_like(words, tools, None)
        from agent.models.text_calls import reading  # noqa: PLC0415 - most runs have none

        found = reading.read(words, label=label)
        if isinstance(found, reading.UnclearCall):
            nudge = prompts.UNCLEAR_CALL.format(why=found.why, form=self._form(label))
            return MissedCall(reason="its calls can't be read", nudge=nudge)
        return self._call_like(words, tools, label)

    def _call_like(
        self, words: str, tools: Collection[str], label: str | None
    ) -> MissedCall | None:
        from agent.models.text_calls.detection import Look, call_like  # noqa: PLC0415 - as above

        state = self.journal.state.conversation
        seen = call_like(words, tools, calls_made=state.calls > 0)
        if seen is None:
            return None
        if state.in_vain <= 1:
            return self._told(seen, label)
        if label is not None:
            return self._told(seen, label) if seen.look is Look.CALL else None
        if self._may_learn:
            return self._told(seen, self._choose("learned"))
        # A model that has made calls may mean to show one.
        return None if state.calls else self._told(seen, None)

    def cut_off(self, reply: Reply) -> str | None:
        """What an answer is told that was cut off; None: its calls have their results."""
        if uses_of(reply):
            return None
        label = self.label
        in_a_call = label is not None and label in words_of(reply)
        return prompts.TORN if in_a_call else prompts.ASK_TO_GO_ON

    @property
    def _may_learn(self) -> bool:
        made = self.journal.state.conversation.calls
        return self.setting is ToolForm.AUTO and self.label is None and not made

    def _choose(self, why: Literal["configured", "learned", "refused"]) -> str:
        from agent.models.text_calls.rendering import drawn_label  # noqa: PLC0415 - as above

        chosen = TextFormChosen(model=self.model, label=drawn_label(), why=why)
        self.journal.emit(chosen)
        return chosen.label

    def _told(self, seen: "CallLike", label: str | None) -> MissedCall:
        from agent.models.text_calls.detection import Look  # noqa: PLC0415 - as above

        what, reason = "shell text", "it writes commands as text"
        if seen.look is Look.CALL:
            what = f"a call of {seen.tool}" if seen.tool else "a call"
            reason = "it writes its calls as text"
        if label is None:
            nudge = prompts.CALL_AS_TEXT.format(what=what)
        else:
            nudge = prompts.CALL_IN_OTHER_FORM.format(what=what, form=self._form(label))
        return MissedCall(reason=reason, nudge=nudge)

    def _form(self, label: str) -> str:
        from agent.models.text_calls.rendering import form_in_words  # noqa: PLC0415 - as above

        return form_in_words(label)
