"""What a run tells beside its record: the log file and OpenTelemetry spans."""
