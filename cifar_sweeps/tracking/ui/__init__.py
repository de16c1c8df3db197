"""MLflow's web page: the server, and what ends it with its command."""
