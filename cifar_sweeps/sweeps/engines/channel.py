"""The channel through which jobs' events and exits reach the controller, whatever an engine gets them from."""

import queue

from cifar_sweeps.sweeps.jobs import JobEvent, JobExit


class EventChannel:
    """A queue of events and exits, in the order in which they came; any thread may put, one thread drains.

    An engine puts into it what its jobs send (`local.event_socket`), or what their journals have gained
    (`journal_events`), and its `wait` returns what it drains.
    """

    def __init__(self) -> None:
        self._items: queue.SimpleQueue[JobEvent | JobExit] = queue.SimpleQueue()

    def put(self, item: JobEvent | JobExit) -> None:
        """Add an event or an exit."""
        self._items.put(item)

    def drain(self, seconds: float) -> list[JobEvent | JobExit]:
        """Return all that is there, waiting up to ``seconds`` for the first item."""
        items: list[JobEvent | JobExit] = []
        try:
            items.append(self._items.get(timeout=seconds) if seconds > 0 else self._items.get_nowait())
            while True:
                items.append(self._items.get_nowait())
        except queue.Empty:
            return items
