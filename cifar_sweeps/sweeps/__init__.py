"""Many runs: what Hydra launches, the parent run of a sweep, and how its faults are told."""
