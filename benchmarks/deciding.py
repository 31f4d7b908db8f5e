"""Speed of `decide()` over shell of every shape, beside the parser's own time on the same text.

`python benchmarks/deciding.py` prints the table. The parser (tree-sitter, in C) is the baseline:
what is ours must stay within a small multiple of it, and a megabyte must end within two seconds.
Each shape is measured at 1 MB and at a quarter of it, so that what is not linear shows.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tree_sitter_bash
from rich.console import Console
from rich.table import Table
from tree_sitter import Language, Parser

from policies.decision import Allow, Call, Decision, decide
from policies.loading import load
from policies.policy import Policy

MEGABYTE = 1_000_000
LIMIT_S = 2.0

USUAL: tuple[str, ...] = (
    "ls",
    "git status",
    "pytest -q 2>&1 | tail -20",
    'cd src && for f in *.py; do python3 -m py_compile "$f" || exit 1; done',
    "PYTHONPATH=src python3 -c 'import sys; print(sys.path)'",
    "cat > a.py <<'EOF' && python3 a.py\nprint(1)\nEOF",
    "find . -type f ! -path './.git/*' | xargs wc -l | sort -rn | head -20",
)

_SCRIPT = (
    "set -euo pipefail\n"
    'for f in $(git ls-files "*.py"); do\n'
    '  if grep -q "def main" "$f"; then echo "$f: $(wc -l < "$f")" >> out.txt; fi\n'
    "done\n"
    "cat > notes.txt <<'EOF'\nsome text with $(no) meaning\nEOF\n"
    "pytest -q tests 2>&1 | tail -20 || true\n"
)


def _repeated(text: str) -> Callable[[int], str]:
    return lambda size: text * max(1, size // len(text))


def _nested(before: str, core: str, after: str) -> Callable[[int], str]:
    def make(size: int) -> str:
        depth = size // (len(before) + len(after))
        return before * depth + core + after * depth

    return make


def _around(before: str, filling: str, after: str) -> Callable[[int], str]:
    return lambda size: before + filling * (size // len(filling)) + after


SHAPES: Mapping[str, Callable[[int], str]] = {
    "a usual script": _repeated(_SCRIPT),
    "short commands": _repeated("ls;"),
    "short commands by line": _repeated("ls\n"),
    "different short commands": lambda size: "\n".join(f"ls a{n}" for n in range(size // 10)),
    "quoted commands": _repeated("echo 'a b' \"c d\"\n"),
    "not allowed commands": _repeated("ls; true; git -C x status; curl;\n"),
    "one command of words": _around("ls", " a", ""),
    "one command of variables": _around("ls", " $a", ""),
    "one command of quotes": _around("ls", " 'a' \"b\"", ""),
    "one command of substitutions": _around("ls", " $(ls)", ""),
    "one command of globs": _around("ls", " *.a", ""),
    "one word": _around("ls ", "a", ""),
    "one word of pieces": _around("ls ", "a'b'\"c\"", ""),
    "one word of escapes": _around("ls ", "\\a", ""),
    "one single quote": _around("ls '", "a b", "'"),
    "one double quote": _around('ls "', "a b", '"'),
    "double quotes of escapes": _around('ls "', "\\\\", '"'),
    "double quote of variables": _around('ls "', "$a ", '"'),
    "double quote of substitutions": _around('ls "', "$(ls) ", '"'),
    "one ANSI-C quote": _around("ls $'", "\\x41", "'"),
    "opened substitutions": _repeated("$("),
    "opened quotes": _repeated("\"'"),
    "backslashes": _repeated("\\"),
    "backquotes": _repeated("`"),
    "opened brackets": _repeated("[[ ( "),
    "opened expansions": _repeated("${a:-"),
    "nested subshells": _nested("( ", "ls", " )"),
    "nested substitutions": _nested("echo $(", "ls", ")"),
    "nested quoted substitutions": _nested('echo "$(', "ls", ')"'),
    "nested groups": _nested("{ ", "ls", "; }"),
    "nested expansions": _nested("echo ${x:-", "a", "}"),
    "nested arithmetic": _nested("echo $((", "1", "))"),
    "nested conditions": _nested("if ls; then ", "ls", "; fi"),
    "nested functions": _nested("f() { ", "ls", "; }"),
    "nested wrappers": _nested("env ", "ls", ""),
    "pipeline": _around("ls", " | cat", ""),
    "pipelines": _repeated("ls | cat\n"),
    "and-list": _around("ls", " && ls", ""),
    "background": _repeated("ls & "),
    "redirections": _repeated("ls >a\n"),
    "redirections of one command": _around("ls", " >a", ""),
    "here-strings": _repeated("cat <<<a\n"),
    "assignments": _repeated("a=1\n"),
    "assignments of one command": _around("", "a=1 ", "ls"),
    "array": _around("a=(", "b ", ")"),
    "exports": _repeated("export a=1\n"),
    "arithmetic": _repeated("((a+1))\n"),
    "long arithmetic": _around("echo $((1", "+1", "))"),
    "tests": _repeated("[ -f a ] && [[ $a == b ]]\n"),
    "long test": _around("[[ a", " && a", " ]]"),
    "case with many arms": _around("case $a in\n", "a) ls;;\n", "esac"),
    "case with many patterns": _around("case $a in a", "|b", ") ls;; esac"),
    "functions": lambda size: "\n".join(f"f{n}() {{ ls; }}; f{n}" for n in range(size // 20)),
    "functions of one name": _repeated("f() { ls; }; f\n"),
    "loops": _repeated("for i in a b; do ls $i; done\n"),
    "loop words": _around("for i in", " a", "; do ls; done"),
    "comments": _repeated("# a comment\n"),
    "empty lines": _repeated("\n"),
    "blanks": _repeated(" "),
    "continued lines": _around("ls", " \\\n a", ""),
    "non-ASCII words": _around("ls", " \u65e5\u672c", ""),
    "here-documents": _repeated("cat <<E\na $b $(ls)\nE\n"),
    "literal here-documents": _repeated("cat <<'E'\na\nE\n"),
    "here-documents with pipes": _repeated("cat <<E 2>&1 | cat\na\nE\n"),
    "many here-documents of one command": lambda size: (
        "cat" + " <<E" * (size // 8) + "\n" + "a\nE\n" * (size // 8)
    ),
    "a large here-document": _around("cat <<E\n", "some text\n", "E\n"),
    "a here-document of substitutions": _around("cat <<E\n", "$(ls) `ls`\n", "E\n"),
    "process substitutions": _around("cat", " <(ls)", ""),
    "brace expansions": _around("ls", " {a,b}", ""),
    "evals": _repeated("eval 'ls'\n"),
    "shells": _repeated("sh -c 'ls'\n"),
    "one eval": lambda size: "eval '" + "ls;" * (size // 3) + "'",
    "wrappers": _repeated("env a=b timeout 5 ls\n"),
    "long wrappers": _around("env", " a=b", " ls"),
    "xargs": _around("xargs ls", " a", ""),
    "find": _around("find .", " -exec ls {} +", ""),
    "traps": _repeated("trap 'ls' EXIT\n"),
    "git": _repeated("git -C a status\n"),
    "negations": _around("", "! ", "ls"),
    "control characters": _repeated("\x01\x02"),
    "closing brackets": _repeated(")"),
    "semicolons": _repeated(";"),
    "ampersands": _repeated("&"),
    "less-thans": _repeated("<"),
    "opened here-documents": _repeated("<<E "),
    "opened braces": _repeated("{ "),
    "opened cases": _repeated("case a in "),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    decision: Decision
    decided_s: float
    quarter_s: float
    parsed_s: float
    """By the parser alone; it is cut off where `decide` cuts it off."""


def timed(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def parser_alone(text: str) -> float:
    source = text.encode()
    parser = Parser(Language(tree_sitter_bash.language()))
    deadline = time.monotonic() + 3

    def parse() -> None:
        try:
            parser.parse(
                lambda offset, _: source[offset : offset + (1 << 16)],
                progress_callback=lambda *_: time.monotonic() > deadline,
            )
        except ValueError:
            return

    return timed(parse)


def measured(policy: Policy, make: Callable[[int], str]) -> Measured:
    whole, quarter = make(MEGABYTE), make(MEGABYTE // 4)
    found: list[Decision] = []

    def judge(text: str) -> None:
        found.append(decide(policy, Call(tool="bash", arguments={"command": text})))

    quarter_s = timed(lambda: judge(quarter))
    decided_s = timed(lambda: judge(whole))
    return Measured(
        decision=found[-1],
        decided_s=decided_s,
        quarter_s=quarter_s,
        parsed_s=parser_alone(whole),
    )


def usual(policy: Policy) -> list[tuple[str, float, float]]:
    """Milliseconds of usual commands: by `decide`, and by the parser alone."""
    rows = []
    for text in USUAL:
        call = Call(tool="bash", arguments={"command": text})
        decide(policy, call)
        ours = timed(lambda call=call: [decide(policy, call) for _ in range(200)]) / 200  # type: ignore[misc]
        rows.append((text, ours * 1e3, min(parser_alone(text) for _ in range(50)) * 1e3))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", default="default")
    parser.add_argument("shapes", nargs="*", help="only these")
    arguments = parser.parse_args()
    policy = load(arguments.policy)
    console = Console()
    table = Table("a usual command", "ms", "parser alone, ms", "ratio", "")
    for text, ours, alone in usual(policy):
        table.add_row(
            text.splitlines()[0][:60], f"{ours:.3f}", f"{alone:.3f}", f"{ours / alone:.1f}",
            "" if ours < 1 else "MISSED",
        )  # fmt: skip
    console.print(table)
    table = Table("1 MB of", "s", "parser alone, s", "ratio", "to a quarter of it", "", "answer")
    for name, make in SHAPES.items():
        if arguments.shapes and name not in arguments.shapes:
            continue
        found = measured(policy, make)
        answer = "allow" if isinstance(found.decision, Allow) else found.decision.reason[:60]
        table.add_row(
            name, f"{found.decided_s:.2f}", f"{found.parsed_s:.2f}",
            f"{found.decided_s / found.parsed_s:.1f}",
            f"{found.decided_s / max(found.quarter_s, 1e-4):.1f}",
            "" if found.decided_s < LIMIT_S else "MISSED", answer,
        )  # fmt: skip
    console.print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
