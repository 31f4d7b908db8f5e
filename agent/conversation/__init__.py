"""The loop between model and sandbox, and what it remembers, may spend and may send."""
