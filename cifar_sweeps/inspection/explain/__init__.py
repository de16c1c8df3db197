"""`cifar-sweeps explain`: what a run's network looks at, as one page."""
