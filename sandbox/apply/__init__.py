"""Putting a patch into a directory or onto a branch of a repository."""
