"""Make a finished run longer: a new run that resumes from its last checkpoint."""
