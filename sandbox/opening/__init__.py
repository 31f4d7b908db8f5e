"""A container with a workspace in it: opened, kept by the engine, taken up by another process."""
