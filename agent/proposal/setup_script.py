"""What a setup.py says in plain literals, by its syntax tree. It is never run."""

import ast
from collections.abc import Mapping
from typing import NamedTuple

MAX_CHARACTERS = 200_000


class SetupScript(NamedTuple):
    requires: tuple[str, ...] = ()
    extras: Mapping[str, tuple[str, ...]] = {}
    has_extension: bool = False
    libraries: tuple[str, ...] = ()
    """That its extensions are linked with."""
    problem: str | None = None


def read(text: str) -> SetupScript:
    """Arguments of ``setup()`` that are lists of texts, directly or by a name set once to one."""
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError("too long")
        tree = ast.parse(text)
        return _read(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return SetupScript(problem=f"setup.py can't be read: {type(error).__name__}")


def named_values(tree: ast.Module) -> dict[str, ast.expr]:
    """What names at the top of a module are set to."""
    return {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def texts(node: ast.expr | None, named: Mapping[str, ast.expr]) -> tuple[str, ...]:
    """The texts in a list, which may stand there by its name; nothing of what is computed."""
    if isinstance(node, ast.Name):
        node = named.get(node.id)
    if not isinstance(node, ast.List | ast.Tuple):
        return ()
    return tuple(
        it.value for it in node.elts if isinstance(it, ast.Constant) and isinstance(it.value, str)
    )


def _read(tree: ast.Module) -> SetupScript:
    named = named_values(tree)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    given: dict[str, ast.expr] = {}
    extension = False
    libraries: list[ast.expr] = []
    for call in calls:
        called = call.func.attr if isinstance(call.func, ast.Attribute) else None
        called = call.func.id if isinstance(call.func, ast.Name) else called
        if called == "setup":
            given |= {word.arg: word.value for word in call.keywords if word.arg is not None}
        if (called or "").endswith("Extension"):
            extension = True
            libraries += [word.value for word in call.keywords if word.arg == "libraries"]

    linked = tuple(name for node in libraries for name in texts(node, named))
    extras = given.get("extras_require")
    extras = named.get(extras.id) if isinstance(extras, ast.Name) else extras
    found: dict[str, tuple[str, ...]] = {}
    if isinstance(extras, ast.Dict):
        for key, value in zip(extras.keys, extras.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                found[key.value] = texts(value, named)
    return SetupScript(texts(given.get("install_requires"), named), found, extension, linked)
