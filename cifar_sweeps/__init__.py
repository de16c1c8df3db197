"""Hyperparameter studies of image classifiers: Hydra composes them, a process each trains them, MLflow keeps them."""

__version__ = "0.1.0"
