"""The commands of `moonpool policy`."""
