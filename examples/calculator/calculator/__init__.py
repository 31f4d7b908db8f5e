"""Integer arithmetic, one function to an operation."""
