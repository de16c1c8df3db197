"""Terminal output of a sweep: its progress and its summary."""
