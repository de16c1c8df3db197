"""Operating system and process: files, cores, seeds, signals, memory and garbage collection."""
