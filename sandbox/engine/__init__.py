"""The container engine: one module imports its SDK; the values that it gives and takes."""
