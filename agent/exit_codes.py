"""Exit codes: the numbers. Which one an outcome comes to, `agent.record.outcome.exit_code` says;
which one an error, the command line.
"""

DONE = 0
NOT_FINISHED = 1
USAGE = 2
ENVIRONMENT = 3
MODEL = 4
EXPORT_REFUSED = 5
INTERRUPTED = 130
