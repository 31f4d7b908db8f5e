"""What a person, or a program, sees of a batch while it runs."""
