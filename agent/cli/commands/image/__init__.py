"""``moonpool image``: what agents work in."""
