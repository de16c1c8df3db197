"""Two sets of predictions of the same images: which differ, and by how much. Arrays in, plain values out."""
