"""A sweep that tries all combinations: its jobs, less those that are excluded, are handed to a launcher."""
