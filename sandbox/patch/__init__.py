"""Baseline and changed files into a patch that is proved."""
