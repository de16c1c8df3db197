"""Which command controls a sweep: a note in the sweep's folder, for `status`, `attach` and `stop`.

Whether that command still lives is told by the lock on the sweep's journal, not by the note. It is written under that
lock, so that it names the command that holds it.
"""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from cifar_sweeps.system.files import write_text_atomic

_NAME = ".controller.json"


@dataclass(frozen=True)
class ControllerNote:
    """A command's process id, its machine, and when it began to control the sweep, in seconds since 1970."""

    process_id: int
    host: str
    began: float

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.host == platform.node()


def write_note(sweep: Path) -> None:
    """Note that this process controls the sweep. Raises OSError."""
    note = ControllerNote(os.getpid(), platform.node(), time.time())
    write_text_atomic(sweep / _NAME, json.dumps(asdict(note)))


def read_note(sweep: Path) -> ControllerNote | None:
    """Return who controls a sweep, or did so last; None if that is not known."""
    try:
        fields = json.loads((sweep / _NAME).read_text(encoding="utf-8"))
        return ControllerNote(int(fields["process_id"]), str(fields["host"]), float(fields["began"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def controller_text(sweep: Path) -> str:
    """Return which command controls a sweep that one does, in a few words."""
    note = read_note(sweep)
    if note is None:
        return "a command controls it"
    return f"a command controls it (process {note.process_id} on {'this machine' if note.is_here else note.host})"
