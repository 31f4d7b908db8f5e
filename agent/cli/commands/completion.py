"""``moonpool completion``: what a shell loads, and what it asks while a person types."""

import os
import shlex
import sys
from typing import TYPE_CHECKING

from agent import exit_codes
from agent.cli.arguments import Command, Given, Parameter, choice

if TYPE_CHECKING:
    from agent.cli.completion.candidates import Offer

# The program is named by its path: a shell completes `./moonpool` by the same words, and what is
# asked then must not be a file of the folder that a person has just entered.
_BASH = r"""
_moonpool() {
    local found
    mapfile -t found < <(PROGRAM completion bash -- "$COMP_WORDBREAKS" \
        "${COMP_LINE:0:COMP_POINT}" 2>/dev/null </dev/null)
    if [[ -n ${found[0]-} ]]; then compopt -o "${found[0]}"; fi
    if [[ -n ${found[1]-} ]]; then compopt -o "${found[1]}"; fi
    COMPREPLY=("${found[@]:2}")
}
complete -o nosort -F _moonpool moonpool
"""
_ZSH = r"""
#compdef moonpool
_moonpool() {
    local line files
    local -a lines values shown
    lines=("${(@f)$(PROGRAM completion zsh -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" \
        2>/dev/null </dev/null)}")
    files=$lines[1]
    for line in "${(@)lines[2,-1]}"; do
        values+=("${line%%$'\t'*}")
        shown+=("${line/$'\t'/  -- }")
    done
    if (( $#values )); then compadd -V moonpool -l -d shown -a values; fi
    compset -P '--*='; compset -P 'script:'
    case $files in
        files) _files ;;
        folders) _files -/ ;;
    esac
}
if [[ $funcstack[1] == _moonpool ]]; then _moonpool "$@"; else compdef _moonpool moonpool; fi
"""
_FISH = r"""
function __moonpool_complete
    set -l typed (commandline -ct)
    set -l found (PROGRAM completion fish -- (commandline -opc) "$typed" 2>/dev/null </dev/null)
    switch "$found[1]"
        case files
            __fish_complete_path "$typed"
        case folders
            __fish_complete_directories "$typed"
    end
    if set -q found[2]
        printf '%s\n' $found[2..-1]
    end
end
complete -c moonpool -f -k -a '(__moonpool_complete)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
_NAME = "moonpool"
_BREAKS = ":=@"
"""Characters inside a name at which Bash may begin a word anew; of `COMP_WORDBREAKS`."""
_BASH_FILES = {"files": "default", "folders": "dirnames"}

SHELL = choice(words=("bash", "zsh", "fish"))
WORDS: Parameter[tuple[str, ...]] = Parameter(
    metavar="WORD", help="What the shell asks with.", default=(), convert=str, many=True
)


def completion(given: Given) -> int:
    """Print a shell's script, or what fits where it is asked."""
    words = given[WORDS]
    if not words:
        program = shlex.quote(os.path.abspath(sys.argv[0]))
        print(_SCRIPTS[given[SHELL]].strip("\n").replace("PROGRAM", program))
        return exit_codes.DONE
    from agent.cli.completion import candidates, table

    if given[SHELL] == "bash":
        typed, quote = _broken_off(words[-1])
        found = candidates.offer(typed, table.load)
        lines = _for_bash(found, words[0], typed[-1], quote)
        alone = "nospace" if len(lines) == 1 and lines[0].endswith(":") else ""
        print(_BASH_FILES.get(found.files, ""), alone, sep="\n")
    else:
        found = candidates.offer(words[1:], table.load)
        print(found.files)
        lines = [f"{word}\t{text}" if text else word for word, text in found.words]
    print(*lines, sep="\n", end="\n" if lines else "")
    return exit_codes.DONE


def _broken_off(line: str) -> tuple[tuple[str, ...], str]:
    """The words behind the program's name of a line that breaks off, the last of which may be
    empty; and the quote that is open there.

    Bash's own list of words can't be used: it breaks them at ``:`` and ``=``.
    """
    for quote in ("", "'", '"'):
        try:
            # A letter holds the place of what is not typed yet.
            *before, last = shlex.split(f"{line}x{quote}")
        except ValueError:
            continue
        at = next((n for n, word in enumerate(before) if os.path.basename(word) == _NAME), 0)
        return (*before[at + 1 :], last[:-1]), quote
    return ("",), ""


def _for_bash(found: "Offer", breaks: str, typed: str, quote: str) -> list[str]:
    """Bash puts a word in as it is, from the last character of ``breaks`` on: so it is quoted."""
    if quote:
        unsafe = {quote, *"$`\\!"}
        return [word for word, _ in found.words if not unsafe & set(word)]
    keep = max((typed.rfind(char) + 1 for char in set(breaks) & set(_BREAKS)), default=0)
    return [shlex.quote(word[keep:]) for word, _ in found.words]


COMMAND = Command(
    completion,
    (SHELL, WORDS),
    """

    Without a WORD: the script that the shell loads, which asks this very program.

    \b
    bash  echo 'source <(moonpool completion bash)' >> ~/.bashrc
    zsh   echo 'source <(moonpool completion zsh)' >> ~/.zshrc
    fish  moonpool completion fish > ~/.config/fish/completions/moonpool.fish

    Example: moonpool completion bash
    """,
)
