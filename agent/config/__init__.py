"""What the operator wrote down for every run: config.yaml and instructions."""
