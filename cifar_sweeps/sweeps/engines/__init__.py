"""Engines: where a sweep's jobs are executed."""
