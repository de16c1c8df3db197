"""The command `cifar-sweeps`, one module for each group of subcommands."""
