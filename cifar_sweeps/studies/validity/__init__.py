"""Whether a run's figures may be compared and believed: trained as its arm says, learned at all, decided by chance."""
