"""Review: from a patch to a decision, on pages served to one browser or in one file."""
