"""Predict the classes of any pictures with recorded runs."""
