"""What the commands of ``moonpool batch`` are made of."""
