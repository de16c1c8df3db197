"""Run a sweep: plan its jobs, control them, execute them on an engine, record and summarize it."""
