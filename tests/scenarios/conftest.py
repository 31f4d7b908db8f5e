"""The command line as a person uses it, for the scenarios too."""

from cli.conftest import moonpool, zygote

__all__ = ["moonpool", "zygote"]
