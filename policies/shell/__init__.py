"""Shell text, parsed: every simple command in it, and what its words can be."""
