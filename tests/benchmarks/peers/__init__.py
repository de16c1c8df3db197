"""The same runs as other tools make them. Each script stands alone: it reads an .npz and imports no cifar_sweeps."""
