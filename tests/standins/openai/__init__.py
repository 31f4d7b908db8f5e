"""A strict stand-in for the chat-completions API."""
