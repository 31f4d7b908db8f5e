"""What the events of a run come to: one pure function from a state and an event to the next."""
