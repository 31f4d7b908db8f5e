"""The command line as a person uses it."""

from command_line.running import chat, moonpool, script, start, zygote

__all__ = ["chat", "moonpool", "script", "start", "zygote"]
