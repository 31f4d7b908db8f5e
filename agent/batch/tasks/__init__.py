"""The tasks of a batch: read from whatever form they are written in, and checked."""
