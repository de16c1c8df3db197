"""Deliver a run's journal while it trains, and wait at its end for a store that is busy."""

import contextlib
import threading
import time
from pathlib import Path

from cifar_sweeps.errors import TrackingError
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import deliver, read_delivery_state, say
from cifar_sweeps.tracking.store import StoreUnavailableError

_RETRY_DELAYS = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between attempts while the store does not answer; the last one repeats."""
END_PATIENCE = 20.0
"""Seconds that a command waits at its end for a store that has answered before: it may be locked, or restart."""
PAUSE = 3.0
"""Seconds between two deliveries while a run trains: what short epochs record is sent together."""


_held_back = False


def hold_back() -> None:
    """Deliver nothing from this process: another one sends what it records, from its journal."""
    global _held_back
    _held_back = True


def is_held_back() -> bool:
    """Whether `hold_back` was called."""
    return _held_back


class DeliveryThread:
    """Delivers a journal in a thread of its own, so that the run never waits for the store.

    A store that does not answer is tried again at growing intervals.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wake = threading.Event()
        self._finishing = threading.Event()
        self._patience = 0.0
        self._error: TrackingError | None = None
        self._thread = threading.Thread(target=self._run, daemon=True, name="delivery")
        self._thread.start()

    def send(self) -> None:
        """Wake the thread: the journal has new lines."""
        self._wake.set()

    def finish(self, patient: bool = False) -> TrackingError | None:
        """Send what is left in one last attempt, and return its error, if any.

        patient: a store that has answered before, and does not now, is tried for `END_PATIENCE` seconds.
        """
        self._patience = END_PATIENCE if patient else 0.0
        self._finishing.set()
        self._wake.set()
        self._thread.join()
        return self._error

    def _run(self) -> None:
        failures, next_one = 0, 0.0
        while True:
            wait = _RETRY_DELAYS[min(failures, len(_RETRY_DELAYS)) - 1] if failures else None
            self._wake.wait(wait)
            self._finishing.wait(max(0.0, next_one - time.monotonic()))
            self._wake.clear()  # before reading the journal, or a later call would be lost
            next_one = time.monotonic() + PAUSE
            last = self._finishing.is_set()
            try:
                if last:
                    deliver_patiently(self._folder, self._patience)
                else:
                    deliver(self._folder)
                failures, self._error = 0, None
            except TrackingError as error:
                failures, self._error = failures + 1, error
            if last:
                return


class FolderDelivery:
    """Delivers the journals under a folder every few seconds, in a thread of its own, for jobs that do not do it.

    folder: of a sweep. seconds: between two looks. What the store does not take now is tried again at the next one.
    """

    def __init__(self, folder: Path, seconds: float = 3.0) -> None:
        self._folder, self._seconds = folder, seconds
        self._sizes: dict[Path, int] = {}
        """Bytes of the journals when all of them had been sent."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="folder delivery")

    def __enter__(self) -> "FolderDelivery":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            with contextlib.suppress(OSError):  # a disk that is away for a moment: the next look sees more
                self._deliver_all()

    def _deliver_all(self) -> None:
        """Deliver what is new. What fails is tried again at the next look, and the sweep's end says so."""
        for folder in journal.folders(self._folder):
            if self._stop.is_set():
                return
            try:
                self._deliver(folder)
            except StoreUnavailableError:  # the others would wait for the same store
                return
            except (TrackingError, OSError):  # this one's own fault
                continue

    def _deliver(self, folder: Path) -> None:
        # A journal only grows: one that was sent whole is not read again, however many runs have ended.
        size = (folder / journal.NAME).stat().st_size
        if self._sizes.get(folder) != size:
            deliver(folder)
            self._sizes[folder] = size


def deliver_patiently(folder: Path, patience: float) -> str | None:
    """Deliver as `deliver`; while a store that has answered before does not, try again for ``patience`` seconds."""
    end = time.monotonic() + patience
    attempt = 0
    while True:
        try:
            return deliver(folder)
        except StoreUnavailableError:
            delay = _RETRY_DELAYS[min(attempt, len(_RETRY_DELAYS) - 1)]
            if read_delivery_state(folder).run_id is None or time.monotonic() + delay > end:
                raise
            if not attempt:
                say(f"The store does not answer; waiting for it, {patience:.0f} s at most …")
            attempt += 1
            time.sleep(delay)
