"""What several commands share: options, signals, what was decided of a patch."""
