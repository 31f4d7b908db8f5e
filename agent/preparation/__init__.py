"""What a run needs of its operator before it begins: environment, configuration, policy, model."""
