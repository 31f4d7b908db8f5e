"""Moonpool as a sandbox of Inspect: `sandbox="moonpool"` in a task."""
