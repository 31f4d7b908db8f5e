"""From a command line to an exit code. Every error of ours becomes words here, and no traceback."""

import errno
import sys

from agent import VERSION, exit_codes
from agent.cli.arguments import HELP, HelpWanted, Misuse, flag, parse
from agent.cli.verbs import VERBS, Group, Verb

_VERSION = flag("--version", help="Show the version.")


def run() -> int:
    """Do what the command line says; gives the exit code."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # A terminal that can't show a character gets a question mark, not a traceback.
            reconfigure(errors="replace")
    try:
        try:
            return _in_group("moonpool", VERBS, sys.argv[1:])
        finally:
            sys.stdout.flush()  # here, where an error still becomes words and a code
    except BrokenPipeError:
        # The reader left (`moonpool runs | head`).
        _close_output()
        return exit_codes.NOT_FINISHED
    except Exception as error:  # noqa: BLE001 - one of ours, or raised again
        return _failed(error)


def _in_group(name: str, group: Group, words: list[str]) -> int:
    """The command that the first word names, with the others."""
    match group.verbs.get(words[0]) if words else None:
        case Group() as below:
            return _in_group(f"{name} {words[0]}", below, words[1:])
        case Verb() as verb:
            return _verb(f"{name} {words[0]}", verb, words[1:])
    from agent.cli import help as help_text  # textwrap

    options = (_VERSION,) if group is VERBS else ()
    if not words:
        print(help_text.of_group(name, group, options), file=sys.stderr)
        return exit_codes.USAGE
    if words[0] in HELP.names:
        print(help_text.of_group(name, group, options))
        return exit_codes.DONE
    if options and words[0] in _VERSION.names:
        print(f"moonpool {VERSION}")
        return exit_codes.DONE
    from policies.suggestion import did_you_mean

    is_option = words[0].startswith("-")
    what = f"option: {words[0]}" if is_option else f"command '{words[0]}'"
    known = [*HELP.names, *_VERSION.names] if is_option else [*group.verbs]
    said = f"No such {what}{did_you_mean(words[0], known)}"
    return _misused(name, help_text.usage_of_group(name), said)


def _verb(name: str, verb: Verb, words: list[str]) -> int:
    command = verb.load()
    try:
        return command.do(parse(command, words))
    except HelpWanted:
        from agent.cli import help as help_text

        print(help_text.of_command(name, verb.summary, command))
        return exit_codes.DONE
    except Misuse as error:
        from agent.cli import help as help_text

        return _misused(name, help_text.usage_of_command(name, command), str(error))


def _misused(name: str, usage: str, what: str) -> int:
    from agent.untrusted_text import shortened, visible

    said = shortened(visible(what))
    print(f"{usage}\nTry '{name} -h' for help.\n\nError: {said}", file=sys.stderr)
    return exit_codes.USAGE


def _failed(error: Exception) -> int:
    from agent.untrusted_text import shortened, visible

    code = _code_of(error)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        # Of what a command reads and writes it says itself what failed: this was its output.
        _close_output()
        print("moonpool: the output can't be written: the disk is full", file=sys.stderr)
        return exit_codes.ENVIRONMENT
    if code is None:
        raise error
    print(f"moonpool: {shortened(visible(str(error)))}", file=sys.stderr)
    return code


def _code_of(error: Exception) -> int | None:
    """The code for an error that a command raised; None: it is a defect, not one of ours."""
    from agent.errors import ModelError, RecordError, UsageError
    from policies.errors import PolicyError
    from sandbox.errors import SandboxError

    match error:
        case UsageError() | PolicyError():
            return exit_codes.USAGE
        case SandboxError() | RecordError():
            return exit_codes.ENVIRONMENT
        case ModelError():
            return exit_codes.MODEL
        case _:
            return None


def _close_output() -> None:
    from agent.terminal.screen import write_nowhere

    write_nowhere(sys.stdout)
