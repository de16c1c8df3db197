"""``python -m cifar_sweeps`` is ``cifar-train``."""

from cifar_sweeps.entry import cifar_train

cifar_train()
