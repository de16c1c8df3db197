"""One run: set-up, training and testing, artifacts, identity, folder, recording, reproduction."""
