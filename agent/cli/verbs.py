"""The commands there are, by name.

Owns their order and the first sentence of each one's help, so that ``moonpool --help`` imports no
command; the rest of a command is in its module.
"""

import gc
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import NamedTuple, cast

from agent.cli.arguments import Command


class Verb(NamedTuple):
    """A command by its module below `agent.cli.commands`, and the first sentence of its help."""

    module: str
    summary: str

    def load(self) -> Command:
        """Import the command, with all that it needs."""
        # Of what imports make little is garbage: looking for it would take a tenth of the time.
        gc.disable()
        try:
            return cast("Command", import_module(f"agent.cli.commands.{self.module}").COMMAND)
        finally:
            gc.freeze()
            gc.enable()


class Group(NamedTuple):
    """Commands that stand below one name."""

    summary: str
    verbs: "Mapping[str, Verb | Group]"


def commands(group: Group, *before: str) -> Iterator[tuple[tuple[str, ...], Verb]]:
    """Every command below a group, by its words."""
    for name, found in group.verbs.items():
        if isinstance(found, Group):
            yield from commands(found, *before, name)
        else:
            yield (*before, name), found


_POLICY = Group(
    "What an agent may do.",
    {
        "check": Verb(
            "policy.check", "Say whether a policy file can be used, or where it is wrong."
        ),
        "show": Verb(
            "policy.show",
            "Print a policy as it counts, with everything it extends; or what it amounts to "
            "in an image.",
        ),
        "explain": Verb(
            "policy.explain",
            "Say what a policy makes of a command, by which rule, and which layer holds it.",
        ),
        "schema": Verb("policy.schema", "Print the JSON Schema of policy files, for editors."),
        "test": Verb("policy.test", "Try the examples of a policy."),
        "diff": Verb("policy.diff", "Say what policy B allows that A does not."),
        "learn": Verb(
            "policy.learn", "Print the smallest policy under which a run would have passed."
        ),
    },
)

_IMAGE = Group(
    "What an agent works in.",
    {
        "list": Verb("image.listing", "List the images that agents can work in."),
        "build": Verb("image.build", "Build images, unless they stand already."),
        "rm": Verb("image.removal", "Remove images that Moonpool made."),
        "shell": Verb(
            "image.shell", "Look into an image: a sealed shell that leaves nothing behind."
        ),
    },
)

_BATCH = Group(
    "Many tasks in one process: a night's work that goes on where it stopped.",
    {
        "run": Verb("batch.run", "Do the tasks of a file, or go on with them."),
        "status": Verb("batch.status", "Say how far a batch is."),
        "pause": Verb("batch.pause", "Begin no further task; those that run go on."),
        "resume": Verb("batch.resume", "Begin tasks again, or another number at once."),
        "cancel": Verb("batch.cancel", "End a task of a batch, or all of them."),
        "retry": Verb("batch.retry", "Let what did not come to its end begin again."),
    },
)

_CONFIG = Group(
    "What you wrote down once for every run, in config.yaml.",
    {"show": Verb("config", "Print what counts, and where each value comes from.")},
)

VERBS = Group(
    "Run a coding agent on code nobody trusts: a sealed container, a policy that the kernel "
    "enforces, and a patch with proof.",
    {
        "run": Verb(
            "run",
            "Let an agent work on a copy of a directory, and export what it changed as a patch.",
        ),
        "batch": _BATCH,
        "init": Verb("init", "Propose a policy for a repository from what its files say."),
        "setup": Verb(
            "setup", "Install what a policy's set-up says, once for all runs that share it."
        ),
        "chat": Verb(
            "chat", "Work with an agent request by request, in one sealed copy of a directory."
        ),
        "mcp": Verb(
            "mcp", "Serve sealed sandboxes to a client of the Model Context Protocol (stdio)."
        ),
        "acp": Verb(
            "acp",
            "Serve an editor on stdin and stdout: sealed chats, by the Agent Client Protocol.",
        ),
        "runs": Verb("runs", "List the runs there are."),
        "show": Verb("show", "Show what a run did and what came of it."),
        "review": Verb(
            "review",
            "Review runs in a browser: what they changed, why, what is risky; and decide.",
        ),
        "apply": Verb(
            "apply", "Apply a run's patch to the directory it was made for: all of it, or nothing."
        ),
        "resume": Verb(
            "resume",
            "Go on with a run whose process was killed, in its container, where that still stands.",
        ),
        "fork": Verb(
            "fork",
            "Begin a new run where a call of another one had ended: its files, its conversation.",
        ),
        "blame": Verb("blame", "Show which tool call last wrote each line of a run's patch."),
        "verify": Verb("verify", "Check that a run's record is what the run wrote."),
        "replay": Verb(
            "replay",
            "Make a run's calls again in a new container, without a model, and compare the "
            "patches.",
        ),
        "schema": Verb(
            "schema",
            "Print the JSON Schema of the lines of `--json`, which are those of `events.jsonl`; or "
            "of a batch's tasks file.",
        ),
        "doctor": Verb("doctor", "Try everything that a run needs, and say what is missing."),
        "prune": Verb(
            "prune",
            "Remove containers and workspace copies that runs left behind and are past their time.",
        ),
        "models": Verb(
            "models", "List the models that a provider's service offers, as -m takes them."
        ),
        "policy": _POLICY,
        "image": _IMAGE,
        "config": _CONFIG,
        "completion": Verb(
            "completion", "Print what makes a shell complete commands, options and names."
        ),
    },
)
