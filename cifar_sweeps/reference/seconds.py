"""Time the arms that claims about seconds compare, in turn and one at a time, for `studies.validity.timings`."""

import dataclasses
import platform
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import CifarSweepsError, in_one_line
from cifar_sweeps.reference.stages import Stage
from cifar_sweeps.runs.reporters import LogReporter
from cifar_sweeps.runs.run import run
from cifar_sweeps.studies.claims import read_claims
from cifar_sweeps.studies.histories import TIMES
from cifar_sweeps.studies.overview.catalogue import swept_by
from cifar_sweeps.studies.validity.timings import NAME, TimedPair, write_timings
from cifar_sweeps.tracking.provenance import provenance

_IMAGES, _ROUNDS = 1024, 5
_ALWAYS = ("data=synthetic", "data.split=stratified", "trainer.parts=1", "trainer.init_from=null", "trainer.epochs=2")
_QUIET = ("trainer.threads=1", "tracking=none", "analysis.pictures=false", "trainer.test_at=[]", "trainer.resume=never")


def timed_pairs(studies: Sequence[str]) -> list[tuple[str, str]]:
    """Return the arms that claims about seconds of these studies compare."""
    pairs: dict[tuple[str, str], None] = {}
    for study in studies:
        first = swept_by(study)["experiment"][0]
        for claim in read_claims(compose([f"study={study}", f"experiment={first}"]).as_dict["claims"]):
            if claim.metric in TIMES and claim.against is not None:
                pairs[str(claim.arm["experiment"]), str(claim.against["experiment"])] = None
    return list(pairs)


def measure(
    pairs: Sequence[tuple[str, str]],
    folder: Path,
    say: Callable[[str], None],
    rounds: int = _ROUNDS,
    images: int = _IMAGES,
    overrides: Sequence[str] = (),
) -> list[TimedPair]:
    """Time each pair, arm by arm in turn, and write what was measured into the folder of the reference.

    images: of one epoch, drawn ones, the same number for both. The second epoch is timed: the first warms up.
    say: told each pair as it is done.
    """
    machine = provenance().get("cpu", platform.machine())
    measured = []
    for arm, against in pairs:
        try:
            seconds = tuple(
                (_seconds(arm, images, overrides), _seconds(against, images, overrides)) for _ in range(rounds)
            )
        except CifarSweepsError as error:  # weights that cannot be had here, for example
            say(f"{arm} against {against}: cannot be timed here: {in_one_line(error)}")
            continue
        how = f"{machine}, one thread, an epoch of {images:,} drawn images, {rounds} rounds in turn"
        measured.append(TimedPair(arm, against, seconds, how))
        effect = measured[-1].effect
        say(f"{arm} against {against}: {'-' if effect is None else effect.text(digits=3, sign=True)} of its seconds")
        write_timings(folder / NAME, measured)
    return measured


def studies_of(stages: Sequence[Stage]) -> list[str]:
    """Return the studies of these stages, each once."""
    return list(dict.fromkeys(stage.study for stage in stages))


def _seconds(arm: str, images: int, overrides: Sequence[str]) -> float:
    size = (f"data.train_size={images}", "data.val_size=64", f"data.source.train_images={2 * images + 400}")
    config = compose([f"experiment={arm}", *_ALWAYS, *_QUIET, *size, "data.source.test_images=100", *overrides])
    with tempfile.TemporaryDirectory() as place:
        config = dataclasses.replace(config, outputs=place)
        return run(config, folder=Path(place) / "run", reporter=LogReporter()).history[-1].epoch_seconds
