"""The local engine: each job in a process of its own on this machine."""
