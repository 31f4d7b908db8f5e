"""A second opinion on a patch, by a model that did not make it."""
