"""The copy of the workspace: what goes in, what stays out, and the cached snapshot."""
