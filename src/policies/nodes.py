"""Questions about one node of the tree."""

from tree_sitter import Node


def in_expansion(node: Node) -> bool:
    """Does it stand in ``${…}`` itself, where quotes may be text and end what is around them?"""
    parent = node.parent
    if parent is not None and parent.type == "concatenation":
        parent = parent.parent
    return parent is not None and parent.type == "expansion"


def evaluates(children: list[Node]) -> bool:
    """Is it ``${x@P}``, which carries out what the value of x says?"""
    kinds = [child.type for child in children if not child.is_named]
    return "@" in kinds and "P" in kinds


def unwrapped(node: Node) -> Node:
    return node.children[0] if node.type == "command_name" and node.child_count else node
