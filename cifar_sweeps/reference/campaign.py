"""Train the stages of the reference one after another, with the lowest priority; stop and go on at any time.

What is finished is archived every ten minutes, after each stage, and when the campaign is stopped, and is never trained
again: the archive is unpacked first, on any machine with the same kind of processor, and the sweeps find it there. What
was stopped goes on from its last checkpoint on the machine that has it.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from cifar_sweeps.errors import ConfigError
from cifar_sweeps.reference import archive
from cifar_sweeps.reference.stages import Stage

REAL_DATA = "CIFAR_SWEEPS_REAL_DATA"
"""Names a folder of images by class, such as a JPEG copy of CIFAR-10; without it CIFAR-10 itself is downloaded."""
_IMAGES = Path("outputs/data/cifar10-jpeg")
"""Where they are found in every checkout: a sweep that goes on elsewhere is the same only if its command is."""
_ALWAYS = ("analysis.pictures=false", "analysis.log_model=none", "sweep.report=false", "tracking.keep=last")
_ARCHIVED_EVERY = 600.0
"""Seconds."""
_INTERRUPTED = (130, 143, -signal.SIGINT, -signal.SIGTERM)


def archive_path(folder: Path, study: str) -> Path:
    """Return a study's archive in the folder of the reference."""
    return folder / "journals" / f"{study}.tar.xz"


def train(
    stages: Sequence[Stage],
    folder: Path,
    work: Path,
    say: Callable[[str], None],
    overrides: Sequence[str] = (),
) -> int:
    """Train what the archives in ``folder`` lack, in the outputs folder ``work``; return the first failure's status.

    say: told what is trained, and what was archived. overrides: added to each sweep. A stage whose jobs failed is
    told, and the next one begins; an interruption ends the campaign, with all that is finished archived.
    """
    status = 0
    for study in dict.fromkeys(stage.study for stage in stages):
        archive.unpack(archive_path(folder, study), work)
    for number, stage in enumerate(stages, 1):
        say(f"stage {number} of {len(stages)}: {stage.study}, {stage.why}")
        path = archive_path(folder, stage.study)
        command = [*stage.command, *_data_overrides(), *_ALWAYS, *overrides]
        ended = _sweep(command, work, partial(archive.pack, work, stage.study, path))
        runs = archive.pack(work, stage.study, path)
        say(f"{path}: {runs} finished runs")
        if ended in _INTERRUPTED:
            say("interrupted; the same command goes on")
            return 130
        status = status or ended
    return status


def _sweep(overrides: Sequence[str], work: Path, meanwhile: Callable[[], object]) -> int:
    """Run one sweep as a user does, at the lowest priority, and wait for it; a signal to this process reaches it.

    meanwhile: called every ten minutes: a machine may go away without a word.
    """
    environment = {**os.environ, "CIFAR_SWEEPS_OUTPUTS": str(work)}
    process = subprocess.Popen(
        [sys.executable, "-m", "cifar_sweeps", *overrides],
        env=environment,
        preexec_fn=_lowest_priority,
        start_new_session=True,  # a terminal's Ctrl-C would reach it twice: its second one ends it at once
    )
    previous = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        while True:
            try:
                return process.wait(_ARCHIVED_EVERY)
            except subprocess.TimeoutExpired:
                meanwhile()
            except KeyboardInterrupt:
                process.send_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, previous)


def _lowest_priority() -> None:
    with contextlib.suppress(OSError):
        os.nice(19)


def _data_overrides(environment: Mapping[str, str] = os.environ) -> list[str]:
    root = environment.get(REAL_DATA)
    if not root:
        return []
    if not Path(root).is_dir():
        raise ConfigError(f"{REAL_DATA}={root}: there is no such folder; unset it, and CIFAR-10 is downloaded")
    if not _IMAGES.exists():
        _IMAGES.parent.mkdir(parents=True, exist_ok=True)
        _IMAGES.symlink_to(Path(root).absolute())
    elif not _IMAGES.samefile(root):
        raise ConfigError(
            f"{REAL_DATA}={root}: the images of the reference are those of {_IMAGES}; move them away first"
        )
    return ["data=image_folder", f"data.root={_IMAGES}"]
