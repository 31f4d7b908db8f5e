"""Questions about one node of the tree."""

from tree_sitter import Node

IN_EXPANSION = "concatenation in expansion"
"""The kind of a word in ``${…}`` itself, where quotes may be text and end what is around them."""


def evaluates(children: list[Node]) -> bool:
    """Is it ``${x@P}``, which carries out what the value of x says?"""
    kinds = [child.type for child in children if not child.is_named]
    return "@" in kinds and "P" in kinds


def unwrapped(node: Node) -> Node:
    return node.children[0] if node.type == "command_name" and node.child_count else node
