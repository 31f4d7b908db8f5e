"""The command line as a person uses it, for the scenarios too."""

from command_line.running import moonpool, zygote

__all__ = ["moonpool", "zygote"]
