"""Train one run in this process, without MLflow, and read its journal."""

import torch
from conftest import TINY

from cifar_sweeps.config.compose import compose
from cifar_sweeps.runs.run import run
from cifar_sweeps.tracking import journal

SMALL = (*TINY, "analysis.pictures=false", "tracking=none", "trainer.epochs=4")


class JournalContents:
    """Contents of a run's journal."""

    def __init__(self, folder):
        self.metrics, self.tags = {}, {}
        self.ops = [entry.op for entry in journal.read(folder)]
        for entry in journal.read(folder):
            if entry.op == "metrics":
                for name, value in entry.fields["values"].items():
                    self.metrics.setdefault(name, []).append((entry.fields["step"], value))
            elif entry.op == "tags":
                self.tags |= entry.fields["values"]
            elif entry.op == "close":
                self.state, self.reason = entry.fields["state"], entry.fields["reason"]


def train(folder, *overrides):
    result = run(compose([*SMALL, *overrides]), name="a run", folder=folder)
    return result, JournalContents(folder)


def weights(path):
    return torch.load(path, weights_only=True)
