"""What the terminal shows of a sweep: its jobs before, during and after."""
