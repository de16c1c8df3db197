"""The command `cifar-sweeps`: one module for each kind of thing that it looks at."""
