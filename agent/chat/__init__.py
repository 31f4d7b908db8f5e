"""A chat without its face: requests, what a person does between them, and how that is told."""
