"""A tool call and a decision in a few words: the same on the terminal and in the report."""

from collections.abc import Mapping, Sequence

from agent.record.events.types import ContextShown
from policies.decision import Allow, Ask, Decision, Deny

_VERBS = {
    "read_file": "read",
    "write_file": "write",
    "edit_file": "edit",
    "delete_file": "delete",
    "list_dir": "list",
}


def call_in_words(tool: str, arguments: Mapping[str, object]) -> str:
    """Such as ``$ pytest -q`` or ``edit core.py``; what the model wrote is not yet made visible."""
    match tool:
        case "bash":
            mark = "& " if arguments.get("background") is True else ""
            return f"$ {mark}{arguments.get('command', '')}"
        case "search_files":
            where = arguments.get("glob") or arguments.get("path") or ""
            return f"search {arguments.get('pattern', '')!s} {where}".rstrip()
        case "update_plan":
            return "plan"
        case _ if tool in _VERBS:
            return f"{_VERBS[tool]} {arguments.get('path', '.')}"
        case _:
            return tool


_SERVED = {
    "web_search": "search the web",
    "web_fetch": "fetch pages from the web",
    "code_execution": "run code on its service's machines",
}


def served_in_words(tools: Sequence[str], *, could: str = "can") -> str:
    """Such as ``the model can search the web: text can leave this way``; empty for none."""
    if not tools:
        return ""
    *most, last = [_SERVED[tool] for tool in tools]
    words = f"{', '.join(most)} and {last}" if most else last
    return f"the model {could} {words}: text can leave this way"


def shown_in_words(context: ContextShown) -> str:
    names = [f"{file.name}{' (cut)' if file.cut else ''}" for file in context.files]
    return f"{', '.join(names)} shown to the model as untrusted context"


def decision_rule(decision: Decision | None) -> str:
    """The rules a decision came from."""
    match decision:
        case Allow():
            return ", ".join(decision.rules)
        case Ask() | Deny():
            return decision.rule
        case None:
            return ""
