"""The events of a run: their types, how they are written and read, and how they read aloud."""
