"""Checks of a command before anything of it is trained or written."""
