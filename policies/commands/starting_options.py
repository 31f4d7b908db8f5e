"""Options that name a command to run, of programs that are on many lists: ``tar -I``, ``rg --pre``.

A check that explains; what such an option starts is held by the kernel like all else.
"""

from collections.abc import Sequence

from policies.shell.words import Word, literal

# Options whose value is a command, of programs that are on many lists: name to options.
_COMMAND_OPTIONS: dict[str, tuple[str, ...]] = {
    "tar": ("--checkpoint-action", "--to-command", "--use-compress-program", "--rsh-command",
            "--info-script", "--new-volume-script", "-I", "-F"),
    "sort": ("--compress-program",),
    "rg": ("--pre", "--hostname-bin"),
    "split": ("--filter",),
    "zip": ("-TT", "--unzip-command"),
}  # fmt: skip


def command_values(name: str, arguments: Sequence[Word]) -> list[Word]:
    """Values of options that are commands; abbreviated long options too."""
    options = _COMMAND_OPTIONS.get(name, ())
    found: list[Word] = []
    for index, word in enumerate(arguments if options else ()):
        value = word.value
        if value is None:
            # `--to-comm$x=y`: what of it is written may be enough for the program.
            if word.text.lstrip("'\"").startswith("-"):
                found.append(word)
            continue
        if not value.startswith("-") or len(value) < 2:
            continue
        written, equals, attached = value.partition("=")
        for option in options:
            if option.startswith("--"):
                # Two letters: shorter ones are ambiguous to every program listed.
                if len(written) < 4 or not option.startswith(written):
                    continue
                command = literal(attached) if equals else _next(arguments, index)
            elif value.startswith(option):
                command = literal(value[2:]) if len(value) > 2 else _next(arguments, index)
            else:
                continue
            text = command.value
            if text is not None and option == "--checkpoint-action":
                if not text.startswith("exec="):
                    continue
                text = text.removeprefix("exec=")
            found.append(command if text is None else literal(text))
    return found


def _next(arguments: Sequence[Word], index: int) -> Word:
    return arguments[index + 1] if index + 1 < len(arguments) else literal("")
