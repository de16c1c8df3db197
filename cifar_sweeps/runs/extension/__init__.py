"""Make a finished run longer: a new run that goes on from its last checkpoint."""
