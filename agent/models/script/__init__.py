"""A recorded conversation that answers in place of a model."""
