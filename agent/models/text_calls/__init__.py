"""Calls that are written in an answer's text, by models whose service has no tool calls."""
