"""Faults, injected for real: what is left of a run or a sweep, and what the next command makes of it."""
