"""Send progress from job processes to the local engine over a Unix datagram socket in a private folder.

A datagram arrives whole or not at all, needs no lock that a killed job could keep for ever, and is dropped rather than
waited for when nobody reads. The truth about a run is in its journal; this is for the display and the scheduler.
"""

import contextlib
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cifar_sweeps.runs.reporters import RunDescription, Work
from cifar_sweeps.sweeps.engines.channel import EventChannel
from cifar_sweeps.sweeps.jobs import (
    EpochReport,
    JobEvent,
    ProcessStarted,
    StepReport,
    TrainingEnded,
    TrainingStarted,
    WorkStarted,
)
from cifar_sweeps.system.socket_folder import find_socket_folder
from cifar_sweeps.training.metrics import EpochMetrics, StepProgress

Message = Mapping[str, Any]
"""A datagram's content: ``job``, ``kind`` and what belongs to that kind."""


class EventListener:
    """Receives the jobs' messages in a thread of its own and puts each into the channel, as an event.

    folder: a private one, which is removed when the listener is closed, with whatever else lies in it.
    """

    def __init__(self, channel: EventChannel) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cs-", dir=find_socket_folder()))
        self.address = str(self.folder / "events")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._channel = channel
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hand over what has arrived, then stop listening."""
        if not self.folder.exists():  # `remove_folder` has been called: the command ends
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"", self.address)  # after all that has arrived
        self._thread.join()
        self._socket.close()
        self.remove_folder()

    def remove_folder(self) -> None:
        """Remove the private folder; also where the command ends at once, without `close`."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _listen(self) -> None:
        while item := self._socket.recv(65536):
            self._channel.put(parse_event(json.loads(item)))


class EventReporter:
    """A `RunReporter` for a job of a sweep: sends the run's progress to the engine's listener."""

    def __init__(self, address: str, job: int) -> None:
        self._address, self._job = address, job
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def send_process_id(self, process_id: int) -> None:
        """Send which process works on the job."""
        self._send({"kind": "process", "id": process_id})

    def on_loading(self, what: str, done: int, total: int) -> None:
        """Send nothing: the sweep has loaded the images before."""

    def on_start(self, description: RunDescription) -> None:
        """Send how many epochs there will be."""
        self._send({"kind": "start", "epochs": description.epochs})

    def on_step(self, progress: StepProgress) -> None:
        """Send how far the epoch is."""
        done = progress.epoch - 1 + progress.step / progress.steps
        self._send({"kind": "step", "done": done, "loss": progress.loss})

    def on_epoch(self, metrics: EpochMetrics) -> None:
        """Send the epoch's metrics."""
        measured = {"epoch": metrics.epoch, "loss": metrics.train_loss, "val_accuracy": metrics.val_accuracy}
        self._send({"kind": "epoch", **measured})

    def on_work(self, work: Work) -> None:
        """Send what the run does after its last epoch."""
        self._send({"kind": "work", "work": work})

    def on_message(self, text: str) -> None:
        """Send nothing: the table has one line a job; the log has the rest."""

    def on_end(self, text: str) -> None:
        """Send that the training is over, one way or another; artifacts are left to write."""
        self._send({"kind": "end"})

    def _send(self, item: Message) -> None:
        with contextlib.suppress(OSError):  # nobody reads (any more); the run continues all the same
            self._socket.sendto(json.dumps({"job": self._job, **item}).encode(), self._address)


def parse_event(message: Message) -> JobEvent:
    """Return the event that a message stands for."""
    job, kind = int(message["job"]), message["kind"]
    if kind == "process":
        return ProcessStarted(job, int(message["id"]))
    if kind == "start":
        return TrainingStarted(job, int(message["epochs"]))
    if kind == "step":
        return StepReport(job, float(message["done"]), float(message["loss"]))
    if kind == "epoch":
        accuracy = message["val_accuracy"]
        return EpochReport(
            job, int(message["epoch"]), float(message["loss"]), None if accuracy is None else float(accuracy)
        )
    if kind == "work":
        return WorkStarted(job, message["work"])
    return TrainingEnded(job)
