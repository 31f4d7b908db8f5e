"""``moonpool batch``."""
