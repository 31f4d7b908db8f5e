"""A strict stand-in for the Messages API."""
