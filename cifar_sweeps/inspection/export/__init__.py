"""Export a recorded run's network to a file that other programs run."""
