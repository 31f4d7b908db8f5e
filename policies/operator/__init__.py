"""What an operator does with policies: ceilings, comparing, learning, explaining, checking."""
