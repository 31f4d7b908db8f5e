"""One command of `moonpool` a module: its options, and what it does."""
