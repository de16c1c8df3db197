"""The machine: files, cores, seeds, signals, memory and the garbage collector."""
