"""`cifar-sweeps compare`: two runs, two arms or two sweeps beside each other, and the question that they answer."""
