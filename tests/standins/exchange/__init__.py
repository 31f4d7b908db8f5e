"""What the stand-ins of all services share."""
