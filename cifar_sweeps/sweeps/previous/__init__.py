"""Previous launches of a sweep: which of them a launch joins, and what they left of its jobs."""
