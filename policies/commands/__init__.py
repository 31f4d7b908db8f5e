"""One parsed command against the rules of a policy."""
