"""`cifar-sweeps explain`: what a run's network looks at in some images, as one page and as pictures."""
