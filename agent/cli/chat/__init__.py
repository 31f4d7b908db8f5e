"""A chat on a terminal: reading lines, and the commands that begin with a slash."""
