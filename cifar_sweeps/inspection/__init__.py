"""Look inside what was trained, and at what it is trained on: pages and tools on recorded runs and on data."""
