"""Fills a folder with the pages of the site: those of docs/, and in them what the code itself says.

A page marks a place by ``<!-- generated: NAME -->`` and ``<!-- end -->``. What stands between the
two is for whoever reads the file as it is, and the site has what `GENERATED` gives instead: the
help of each command, the keys of a policy, and files that are kept elsewhere. Owns these places.
"""

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.cli import help as help_text
from agent.cli.verbs import VERBS, Group, Verb
from policies.file.schema import json_schema

ROOT = Path(__file__).resolve().parents[1]
_KINDS = {
    "string": "text",
    "object": "names and values",
    "boolean": "`true` or `false`",
    "integer": "a whole number",
    "number": "a number",
    "null": "`null`",
}
_PLACE = re.compile(r"<!-- generated: ([a-z-]+) -->\n.*?<!-- end -->", re.DOTALL)


def fill(target: Path) -> None:
    """Write all pages below `target`, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "docs", target)
    for page in target.rglob("*.md"):
        page.write_text(_PLACE.sub(lambda place: GENERATED[place[1]](), page.read_text("utf-8")))


def command_line() -> str:
    """Each command's help, as it prints it."""
    return "\n".join(_commands("moonpool", VERBS))


def _commands(name: str, group: Group) -> Iterator[str]:
    for word, found in group.verbs.items():
        full = f"{name} {word}"
        match found:
            case Group():
                yield from _commands(full, found)
            case Verb():
                shown = help_text.of_command(full, found.summary, found.load())
                yield f"## {full}\n\n```text\n{shown}\n```\n"


def policy_keys() -> str:
    """The keys of a policy file, from the schema that editors use."""
    schema: Mapping[str, Any] = json_schema()
    parts = [_table(schema["properties"], schema["$defs"])]
    for key, value in schema["properties"].items():
        entry = _entry(value)
        if entry and not key.startswith(("+", "-")):
            properties = schema["$defs"][entry]["properties"]
            parts.append(f"## {key}\n\n{_table(properties, schema['$defs'])}")
    return "\n\n".join(parts)


def _entry(value: Mapping[str, Any]) -> str:
    """The name of the group of keys that a key holds, or a list of them; empty: none."""
    items = value.get("items", {})
    for found in (value, items, *items.get("anyOf", ())):
        name = str(found.get("$ref", "")).rpartition("/")[2]
        if name.endswith("Entry"):
            return name
    return ""


def _table(properties: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    rows = ["| key | value | what it says |", "|---|---|---|"]
    for key, value in properties.items():
        if key.startswith(("+", "-")):
            continue  # said once, at the top of the page
        also = " (`+`, `-`)" if f"+{key}" in properties else ""
        about = value.get("description") or definitions.get(_entry(value), {}).get("description")
        text = " ".join(str(about or "").split()).replace("|", "\\|")
        rows.append(f"| `{key}`{also} | {_kind(key, value, definitions)} | {text} |")
    return "\n".join(rows)


def _kind(key: str, value: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """What may stand for a key, in words."""
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{word}`" for word in value["enum"])
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[keys](#{key})" if name.endswith("Entry") else _kind(key, definitions[name], {})
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(_kind(key, it, definitions) for it in value["anyOf"]))
    if value.get("type") == "array":
        return f"a list: {_kind(key, value['items'], definitions)}"
    kind = str(value["type"])
    return _KINDS.get(kind, kind)


def _security() -> str:
    """SECURITY.md, below the page's own title."""
    return (ROOT / "SECURITY.md").read_text("utf-8").removeprefix("# Security\n")


GENERATED: Mapping[str, Callable[[], str]] = {
    "command-line": command_line,
    "policy-keys": policy_keys,
    "security": _security,
}
"""What stands in a page's marked place, by its name."""


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
