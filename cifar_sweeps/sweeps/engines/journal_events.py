"""Read a job's events from its journal, for engines on other machines: into the same channel as the local engine's."""

from collections.abc import Iterator
from pathlib import Path

from cifar_sweeps.sweeps.engines.channel import EventChannel
from cifar_sweeps.sweeps.jobs import EpochReport, JobEvent, TrainingEnded, TrainingStarted
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.journal import Entry


class JournalEventReader:
    """The events of one job, from the journal in its folder; steps within an epoch are not in it.

    They are those that the job's own `RunReporter` gets, in the same order, except that an epoch that is trained
    again after a resume is in the journal once.
    """

    def __init__(self, job: int, folder: Path) -> None:
        self._job, self._folder = job, folder
        self._offset = self._lines = 0
        self._epochs = 0
        self._is_training = False

    def feed(self, channel: EventChannel) -> None:
        """Put what the journal has gained since the last call into the channel."""
        for event in self.poll():
            channel.put(event)

    def poll(self) -> list[JobEvent]:
        """Return what the journal has gained since the last call."""
        entries, self._offset = journal.read_more(self._folder, self._offset, self._lines)
        self._lines += len(entries)
        return [event for entry in entries for event in self._events(entry)]

    def _events(self, entry: Entry) -> Iterator[JobEvent]:
        fields = entry.fields
        if entry.op == "params":
            self._epochs = int(fields["values"]["trainer.epochs"]) * int(fields["values"]["trainer.parts"])
        elif self._starts(entry):
            self._is_training = True
            yield TrainingStarted(self._job, self._epochs)
        elif entry.op == "metrics" and "train/loss" in fields["values"]:
            values = fields["values"]
            yield EpochReport(self._job, int(fields["step"]), float(values["train/loss"]), values.get("val/accuracy"))
        elif self._is_training and (entry.op == "close" or (entry.op == "artifact" and fields["folder"])):
            # The checkpoints are the first artifacts after the training; what follows is wrapping up.
            self._is_training = False
            yield TrainingEnded(self._job)

    def _starts(self, entry: Entry) -> bool:
        """Say whether an epoch follows: the model's size is logged last before the first, and once."""
        if entry.op == "resume":
            return self._epochs > 0
        return entry.op == "metrics" and "model/parameters" in entry.fields["values"]
