"""What can be done with a run that is over: resume, rescue, fork, replay, blame, verify."""
