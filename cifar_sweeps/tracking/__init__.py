"""Record runs: a journal on disk first, then delivery to an MLflow store."""
