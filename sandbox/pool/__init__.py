"""What many sandboxes of one process share: made ahead, looked for together, removed aside."""
