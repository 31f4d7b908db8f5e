"""What goes wrong before a sandbox is opened, in this server's own words."""


class ConfigRefused(Exception):
    """A configuration asks for what this sandbox is not. The message names the key."""
