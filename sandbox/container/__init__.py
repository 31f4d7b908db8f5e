"""One sealed container: its specification, opening, seal, and the commands and files in it."""
