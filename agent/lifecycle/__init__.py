"""One run from its job to its end: what is to be done, the container, the session, the delivery."""
