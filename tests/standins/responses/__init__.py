"""A strict stand-in for the Responses API."""
