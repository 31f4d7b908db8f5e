"""What the operator settled for every session. Nothing of it is a client's to say."""

import os
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from agent.config import environment
from agent.errors import UsageError
from agent.lifecycle.job import OpenBox
from agent.past_runs.forked_run import given_of
from agent.preparation import model as model_setup
from agent.preparation import workspace
from agent.preparation.policy import bounded
from agent.preparation.prepare import Preparation, RunOptions, prepare
from agent.risk.finding import accepted_risks
from agent.servers.acp.past import (
    ListedSession,
    OpenRecorded,
    PastSession,
    past_session,
    sessions,
)
from policies.frozen import dataclass
from policies.loading import bundled_names, own_names

_WORDS: Mapping[str, str] = {
    "default": "work on a Python repository: its tests, git without remotes, the usual tools",
    "read-only": "look, and change nothing",
    "locked": "the file tools and pytest, nothing else",
    "python-tests": "the tests of a Python project, and the file tools",
    "node-tests": "the tests of a JavaScript project, and the file tools",
    "polyglot": "as default, for Python, JavaScript, Go, Rust and C",
}
LISTED = 50
"""Sessions of one answer."""
_YOURS = "a policy of yours"


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyMode:
    """A policy that a session may be in."""

    name: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    options: RunOptions
    """Those of the command line; the workspace is the client's to say, the policy its mode."""
    verify: str | None
    within: Path | None
    """Where workspaces may lie; None: anywhere, but for what holds the operator's home."""
    open_box: OpenBox
    open_recorded: OpenRecorded
    ask_timeout_s: float
    """How long a question waits for its person."""
    fresh_s: float = 60.0
    """How old a session's copy may be when the first prompt comes: an editor begins sessions ahead,
    and what its person changes until then is theirs to be seen."""

    def mode(self) -> str:
        """The policy that a session begins in."""
        return model_setup.policy_name(self.options.policy, model_setup.load(root=None))

    def modes(self) -> tuple[PolicyMode, ...]:
        """The policies there are: the one that counts, the bundled ones, and the operator's."""
        own = own_names(environment.policy_directory())
        names = dict.fromkeys((self.mode(), *bundled_names(), *own))
        return tuple(
            PolicyMode(name=name, description=_WORDS.get(name) or _described(name))
            for name in names
        )

    def prepare(self, cwd: str, mode: str) -> Preparation:
        """A directory under a policy, with the model.

        Raises:
            UsageError, PolicyError, ModelError: something can't be used.
        """
        root = self.place(cwd)
        if mode not in {known.name for known in self.modes()}:
            raise UsageError(f"there is no mode {mode!r:.80}")
        return prepare(replace(self.options, workspace=root, policy=mode))

    def prepare_again(self, session: PastSession, cwd: str) -> Preparation:
        """What a session goes on with: its own policy, under today's ceilings, and a model.

        Raises:
            UsageError, PolicyError, ModelError, RecordError: something can't be used.
        """
        root, started = self.place(cwd), session.started
        configuration = model_setup.load(root=root)
        home = environment.home()
        workspace.refuse_inside(home, root, "MOONPOOL_HOME")
        policy, instructions = given_of(started, session.directory)
        policy = bounded(policy, self.options.ceiling)
        named = self.options.model or started.model
        return Preparation(
            root=root,
            policy=policy,
            home=home,
            configuration=configuration,
            instructions=instructions,
            ready=model_setup.ready(named, policy, configuration, prices=self.options.prices),
            accepted=frozenset(started.accepted_risks) | accepted_risks(self.options.accept_risk),
            kernel_policy=started.kernel_policy,
        )

    def past(self, session_id: str, cwd: str) -> PastSession:
        """A session of before, of this workspace.

        Raises:
            UsageError, RecordError: there is none, or it can't be told.
        """
        root = self.place(cwd)
        session = past_session(environment.home(), session_id)
        if str(root) != session.started.workspace:
            began = session.started.workspace
            raise UsageError(f"that session's workspace is {began}, not {root}")
        return session

    def sessions(self, cwd: str, after: str) -> list[ListedSession]:
        """Those of a workspace, or all there may be: one more than is shown at once.

        Args:
            cwd: empty: of every workspace.
            after: the id of the last one that was shown.
        """
        root = str(self.place(cwd)) if cwd else ""
        fitting = (
            item
            for item in sessions(environment.home(), after=after)
            if root in {"", item.cwd}
            and (self.within is None or workspace.is_inside(Path(item.cwd), self.within))
        )
        return list(islice(fitting, LISTED + 1))

    def place(self, cwd: str) -> Path:
        """A client's working directory as the workspace that it is.

        Raises:
            UsageError: it is none, or lies where none may lie.
        """
        given = Path(cwd)
        if not (given.is_absolute() and _is_path(cwd)):
            raise UsageError("cwd is an absolute path")
        root = workspace.directory(given, "an editor's session")
        if self.within is not None:
            if not workspace.is_inside(root, self.within):
                raise UsageError(f"{root} is not in {self.within}: see `moonpool acp --root`")
        elif (mine := environment.user_directory()) and workspace.is_inside(mine, root):
            # What an editor names that has no project open; the copy would be of all that is yours.
            raise UsageError(
                f"{root} holds your home directory: open the folder of a project, or say "
                f"`moonpool acp --root {root}`"
            )
        return root


def _is_path(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # half a surrogate pair
        return False


def _described(name: str) -> str:
    return f"as default, in the image {name}" if name in bundled_names() else _YOURS
