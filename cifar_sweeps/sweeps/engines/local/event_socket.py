"""How jobs tell the sweep how they get on: datagrams on a socket in a private folder.

A datagram arrives whole or not at all, needs no lock that a killed job could keep for ever, and is dropped rather than
waited for when nobody reads. The truth about a run is in its record; this is for the table on the terminal alone.
"""

import contextlib
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cifar_sweeps.runs.reporters import RunDescription
from cifar_sweeps.training.metrics import EpochMetrics, StepProgress

News = Mapping[str, Any]


class NewsDesk:
    """Receives the jobs' news in a thread of its own and hands each item to ``listener``."""

    def __init__(self, listener: Callable[[News], None]) -> None:
        # It goes when the desk closes, with whatever the jobs were given in it.
        self.folder = Path(tempfile.mkdtemp(prefix="cs-"))  # short: a socket's path has at most 100 bytes
        self.address = str(self.folder / "news")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._listener = listener
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hand over what has arrived, then stop listening."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", self.address)  # after all that has arrived
        self._thread.join()
        self._socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _listen(self) -> None:
        while item := self._socket.recv(65536):
            self._listener(json.loads(item))


class NewsWatcher:
    """The watcher of a run that is a job of a sweep: sends what it is told to the sweep's desk."""

    def __init__(self, address: str, job: int) -> None:
        self._address, self._job = address, job
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def born(self, process: int) -> None:
        """Send which process works on the job."""
        self._send({"kind": "born", "process": process})

    def started(self, facts: RunDescription) -> None:
        """Send how many epochs there will be."""
        self._send({"kind": "started", "epochs": facts.epochs})

    def step(self, progress: StepProgress) -> None:
        """Send how far the epoch is."""
        done = progress.epoch - 1 + progress.step / progress.steps
        self._send({"kind": "step", "done": done, "loss": progress.loss})

    def epoch(self, metrics: EpochMetrics) -> None:
        """Send the epoch's figures."""
        figures = {"done": metrics.epoch, "loss": metrics.train_loss, "val_accuracy": metrics.val_accuracy}
        self._send({"kind": "epoch", **figures})

    def note(self, words: str) -> None:
        """Nothing: the table has one line a job; the log has the rest."""

    def ended(self, words: str) -> None:
        """Send that its training is over, one way or another; what is left are pictures and such."""
        self._send({"kind": "trained"})

    def _send(self, item: News) -> None:
        with contextlib.suppress(OSError):  # nobody reads (any more); the run goes on all the same
            self._socket.sendto(json.dumps({"job": self._job, **item}).encode(), self._address)
