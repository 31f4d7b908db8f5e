"""What a batch came to: a row an attempt, the choice among them, and the files made of both."""
