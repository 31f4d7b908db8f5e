"""What the operator settled for every session. Nothing of it is a client's to say."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from agent.errors import UsageError
from agent.lifecycle.job import OpenBox
from agent.preparation import environment, workspace
from agent.preparation import model as model_setup
from agent.preparation.prepare import Preparation, RunOptions, prepare
from policies.frozen import dataclass
from policies.loading import bundled_names

_WORDS: Mapping[str, str] = {
    "default": "work on a Python repository: its tests, git without remotes, the usual tools",
    "read-only": "look, and change nothing",
    "locked": "the file tools and pytest, nothing else",
    "python-tests": "the tests of a Python project, and the file tools",
    "node-tests": "the tests of a JavaScript project, and the file tools",
    "polyglot": "as default, for Python, JavaScript, Go, Rust and C",
}
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
    """Where workspaces may lie; None: anywhere."""
    open_box: OpenBox
    ask_timeout_s: float
    """How long a question waits for its person."""

    def mode(self) -> str:
        """The policy that a session begins in."""
        return model_setup.policy_name(self.options.policy, model_setup.load(root=None))

    def modes(self) -> tuple[PolicyMode, ...]:
        """The policies there are: the one that counts, the bundled ones, and the operator's."""
        names = dict.fromkeys((self.mode(), *bundled_names(), *_own_names()))
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

    def place(self, cwd: str) -> Path:
        """A client's working directory as the workspace that it is.

        Raises:
            UsageError: it is none, or lies where none may lie.
        """
        given = Path(cwd)
        if "\0" in cwd or not given.is_absolute():
            raise UsageError("cwd is an absolute path")
        root = workspace.directory(given, "an editor's session")
        if self.within is not None and not workspace.is_inside(root, self.within):
            raise UsageError(f"{root} is not in {self.within}: see `moonpool acp --root`")
        return root


def _own_names() -> list[str]:
    try:
        return sorted(path.stem for path in environment.policy_directory().glob("*.yaml"))
    except OSError:
        return []


def _described(name: str) -> str:
    return f"as default, in the image {name}" if name in bundled_names() else _YOURS
