"""Where policies come from: the bundled ones, an operator's folder, a file.

Owns finding and following `extends`. Never looks into a workspace: a repository does not get to
write its own permit.
"""

import os
from collections.abc import Callable
from pathlib import Path

from policies.errors import PolicyError, Where
from policies.file.compose import PolicyLayer, compose
from policies.file.document import PACKAGE, Document, packaged, parse, read_text
from policies.file.schema import decode
from policies.frozen import dataclass
from policies.policy import Policy

MAX_CHAIN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One place a policy is read from."""

    shown_as: str
    path: Path | None
    """None: bundled."""

    @property
    def identity(self) -> str:
        return f"bundled:{self.shown_as}" if self.path is None else os.path.realpath(self.path)


Accept = Callable[[Path], None]
"""Asked about each file before it is read: it raises where that file may not be a policy's."""


def load(
    name_or_path: str, *, directory: Path | None = None, accept: Accept | None = None
) -> Policy:
    """The policy of that name, composed with what it extends.

    A name without ``/`` and without a ``.yaml`` suffix is a bundled policy's, or else that of
    ``NAME.yaml`` in ``directory`` (an operator's own folder); anything else is a file.

    Raises:
        PolicyError: there is none, or it can't be used; with file, line, column and key.
    """
    return compose((_ground(), *chain(name_or_path, directory=directory, accept=accept)))


def loads(text: str, *, file: str) -> Policy:
    """A policy from text that extends nothing, as `schema.render` writes it.

    Args:
        file: what errors and rules call it.

    Raises:
        PolicyError: it is no policy, or extends another.
    """
    document = parse(text, file=file)
    model = decode(document)
    if model.extends:
        raise document.error(("extends",), "nothing can be extended from here")
    return compose((_ground(), PolicyLayer(document=document, model=model)))


def bundled_names() -> tuple[str, ...]:
    """The policies that come with Moonpool, sorted."""
    found = (entry.name for entry in (PACKAGE / "bundled").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


def own_names(directory: Path | None) -> tuple[str, ...]:
    """The policies in an operator's own folder, sorted."""
    try:
        found = () if directory is None else directory.glob("*.yaml")
        return tuple(sorted(path.stem for path in found))
    except OSError:
        return ()


def chain(
    name_or_path: str, *, directory: Path | None = None, accept: Accept | None = None
) -> tuple[PolicyLayer, ...]:
    """Every file that somebody wrote of a policy: the outermost parent first, the named one last.

    Raises:
        PolicyError: as for `load`.
    """
    source = _find(name_or_path, directory=directory, beside=None, asked=None)
    seen = [source]
    found: list[PolicyLayer] = []
    while True:
        if accept is not None and source.path is not None:
            accept(source.path)
        document = _read(source)
        model = decode(document)
        found.insert(0, PolicyLayer(document=document, model=model))
        if not model.extends:
            return tuple(found)
        where = document.where(("extends",))
        beside = source.path.parent if source.path else None
        source = _find(model.extends, directory=directory, beside=beside, asked=where)
        seen.append(source)
        _refuse_cycle(seen, where)


def _ground() -> PolicyLayer:
    """What counts where no file says anything."""
    ground = packaged("unsaid.yaml")
    return PolicyLayer(document=ground, model=decode(ground))


def _refuse_cycle(seen: list[_Source], where: Where) -> None:
    identities = [source.identity for source in seen]
    arrow = " -> ".join(source.shown_as for source in seen)
    if identities[-1] in identities[:-1]:
        raise PolicyError(f"extends itself: {arrow}", where=where, key="extends")
    if len(seen) > MAX_CHAIN:
        raise PolicyError(
            f"more than {MAX_CHAIN} policies extend each other: {arrow}", where=where, key="extends"
        )


def _find(
    name: str, *, directory: Path | None, beside: Path | None, asked: Where | None
) -> _Source:
    """Where a policy of that name is; ``asked`` is the `extends` that names it, if one does."""
    plain = "/" not in name and not name.endswith((".yaml", ".yml"))
    if plain:
        if name in bundled_names():
            return _Source(shown_as=f"{name}.yaml", path=None)
        if directory is not None and (directory / f"{name}.yaml").exists():
            path = directory / f"{name}.yaml"
            return _Source(shown_as=str(path), path=path)
        from policies.suggestion import did_you_mean  # noqa: PLC0415 - for a mistake only

        known, own = bundled_names(), own_names(directory)
        message = (
            f"there is no policy {name!r}; bundled: {', '.join(known)}; a file's name ends in "
            f".yaml{did_you_mean(name, (*known, *own))}"
        )
        raise PolicyError(
            message,
            where=asked or Where(file=name, line=0),
            key="extends" if asked else "",
        )
    if asked is not None and beside is None and not name.startswith("/"):
        raise PolicyError("a bundled policy extends bundled ones", where=asked, key="extends")
    path = Path(name) if beside is None else beside / name
    if asked is not None and not os.path.lexists(path):
        raise PolicyError(f"there is no file {path}", where=asked, key="extends")
    return _Source(shown_as=str(path), path=path)


def _read(source: _Source) -> Document:
    if source.path is None:
        return packaged(f"bundled/{source.shown_as}")
    return parse(read_text(source.path, shown_as=source.shown_as), file=source.shown_as)
