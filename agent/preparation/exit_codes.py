"""Exit codes: the one place that knows the numbers."""

DONE = 0
NOT_FINISHED = 1
USAGE = 2
ENVIRONMENT = 3
MODEL = 4
EXPORT_REFUSED = 5
INTERRUPTED = 130
