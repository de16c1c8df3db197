"""The Ray engine: each job in an actor of a Ray cluster, with or without a disk that all nodes share."""
