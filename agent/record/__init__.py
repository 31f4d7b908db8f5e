"""What a run leaves on disk: events, summary, images, and how all of it is read again."""
