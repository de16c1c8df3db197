"""What a run tells the world: its record, kept in MLflow."""
