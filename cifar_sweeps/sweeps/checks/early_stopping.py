"""Check that the jobs of a sweep can be compared at the rungs of its early stopping, before any of them starts."""

from collections.abc import Iterator

from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.search.rungs import make_ladder


def early_stopping_errors(config: RunConfig, validation_images: int | None) -> Iterator[str]:
    """Yield what keeps a job from being paused and compared. validation_images: None if they are not known yet."""
    sweep, trainer = config.sweep, config.trainer
    if sweep.early_stopping == "none":
        return
    option = f"sweep.early_stopping={sweep.early_stopping}"
    if validation_images == 0:
        yield f"{option}: compares by {sweep.metric}, and there is no validation data; set data.val_fraction above 0"
    if trainer.resume == "never":
        yield f"{option}: a paused run goes on from its checkpoint; leave trainer.resume=never out"
    rungs = make_ladder(sweep.early_stopping, eta=sweep.eta, grace_epochs=sweep.grace_epochs).rungs(config.total_epochs)
    unseen = [rung for rung in rungs if rung % trainer.validate_every]
    if unseen:
        yield (
            f"{option}: compares after epochs {', '.join(map(str, rungs))}, and trainer.validate_every="
            f"{trainer.validate_every} does not validate after {', '.join(map(str, unseen))}; "
            f"set trainer.validate_every=1, or sweep.grace_epochs to a multiple of {trainer.validate_every}"
        )
