"""What a reader of an ecosystem proposes: lines, each with its reason."""

from typing import NamedTuple


class ProposedLine(NamedTuple):
    value: str
    """As it stands in the policy; composed of judged names, never a repository's own text."""
    reason: str
    """For a comment; may hold a repository's own words, which are made harmless where written."""


Lines = tuple[ProposedLine, ...]


class Proposed(NamedTuple):
    """What one ecosystem needs."""

    image: str
    reason: str
    inputs: Lines = ()
    commands: Lines = ()
    programs: Lines = ()
    """That these install and the agent may run."""
    network: Lines = ()
    prepare: Lines = ()
    verify: ProposedLine | None = None
    notes: tuple[str, ...] = ()


def not_in_recipe(
    what: str, before: str, has: int, wanted: int | None, *, public: str
) -> tuple[str, ...]:
    """A note where a repository wants a newer version than its recipe has.

    Args:
        before: what stands in front of both numbers.
        public: what stands in front of them in the name of a public image.
    """
    if wanted is None or wanted <= has:
        return ()
    has_not = f"it asks for {what} {before}{wanted}, and the recipe has {before}{has}"
    such = f"{public}{before}{wanted} once it is pulled"
    return (f"{has_not}: name an image that has it (image: REFERENCE, such as {such})",)
