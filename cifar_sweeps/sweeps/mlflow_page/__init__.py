"""What a sweep shows on MLflow's page: its saved view, and the description of its parent run."""
