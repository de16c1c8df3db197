"""One run: setup, training and test, artifacts, training hash, folder, recording, reproduction."""
