"""Where attempts are made: in threads here, or on other machines."""
