"""Putting a workspace back to what it was after an earlier call."""
