"""Compose a config from overrides, validate it, and build its objects. This module imports nothing."""
