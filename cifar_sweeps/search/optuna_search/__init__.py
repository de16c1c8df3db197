"""Optuna in a search: what it proposes, and the study file that its dashboard opens."""
