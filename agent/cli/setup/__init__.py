"""What several commands need before they begin: environment, model, policy, observers."""
