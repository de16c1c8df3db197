"""Searches: sweeps whose jobs are proposed one at a time."""
