"""``python -m cifar_sweeps`` is ``cifar-train``."""

from cifar_sweeps.app import main

main()
