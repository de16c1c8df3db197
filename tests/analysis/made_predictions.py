"""Predictions drawn from a seed, with classes of unequal size and mistakes of a known number."""

import numpy as np

from cifar_sweeps.analysis.predictions import Predictions


def drawn(images=500, classes=4, seed=0, right=0.7):
    draw = np.random.default_rng(seed)
    labels = draw.choice(classes, images, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    logits = draw.normal(0, 1.5, (images, classes))
    favoured = draw.random(images) < right
    logits[favoured, labels[favoured]] += 3
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    names = tuple(f"class {number}" for number in range(classes))
    return Predictions(np.arange(images)[::-1].copy(), labels, probabilities.astype(np.float32), names)
