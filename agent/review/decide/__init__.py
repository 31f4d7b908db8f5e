"""From a patch to a decision: what reviewers marked, and what is done with it. Knows no server."""
