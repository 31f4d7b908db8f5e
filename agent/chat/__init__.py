"""A chat: several requests in one container, and what is asked and taken back in it."""
