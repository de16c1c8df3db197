"""A network whose training does what jobs do on bad days. Evaluated, it behaves: a sweep's checks see nothing."""

import os
import resource
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from cifar_sweeps.runs import run


class Net(nn.Module):
    def __init__(self, deed: str = "none", image_size: int = 32) -> None:
        super().__init__()
        self.deed = deed
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, 10))

    def forward(self, images):
        if self.training:
            getattr(self, self.deed)()
        return self.layers(images)

    def none(self):
        pass

    def kill(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def throw(self):
        raise ValueError("a bad day\nwith a second line")

    def quit(self):
        sys.exit(7)

    def leave(self):
        os._exit(3)

    def allocate(self):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
        torch.ones(2**30)

    def die_when_all_is_done(self):
        run.CheckpointManager.clear = lambda _: os._exit(3)

    def hoard(self):
        hoard = []
        while True:
            hoard.append(torch.ones(2**26))  # a quarter of a gigabyte, written to

    def diverge(self):
        with torch.no_grad():
            self.layers[1].weight.fill_(float("nan"))

    def wait(self):
        Path(os.environ["MISBEHAVING_FOLDER"], str(os.getpid())).touch()
        while True:
            time.sleep(0.1)
