"""Set-up: what is installed into an image before the agent, with a network of an allowlist."""
