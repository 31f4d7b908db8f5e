"""What a run tells beside its record: OpenTelemetry spans."""
