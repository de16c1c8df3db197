"""Hyperparameter studies of image classifiers: Hydra composes, one process per run trains, MLflow records.

Python API
----------
What a notebook or a script needs is here; torch, pandas and MLflow are imported at the first use.

Compose a config from the overrides that ``cifar-train`` takes, and train and record one run:

    >>> import cifar_sweeps
    >>> config = cifar_sweeps.compose(["model=lenet_3", "regularization=dropout", "trainer.epochs=2"])
    >>> result = cifar_sweeps.run(config, name="first try")
    >>> result.metrics["test/accuracy"], result.history[-1].val_accuracy, result.run_id, result.folder

An invalid config raises `ConfigError`, before anything is trained. Sweeps, which train in processes of their own,
are started from the command line: ``cifar-train -m ...``. Their results, and those of runs like the one above, are
pandas tables: one row per run, and one row per run and epoch. Select them by the name of a study (the MLflow
experiment; ``cifar_sweeps`` where the config names none) or by the id of a sweep:

    >>> table = cifar_sweeps.load_results("cifar_sweeps")
    >>> table[["name", "state", "best/val_accuracy", "test/accuracy"]]
    >>> history = cifar_sweeps.load_history("cifar_sweeps")
    >>> history.pivot(index="epoch", columns="run_id", values="val/accuracy")

They read ``./outputs``, or where ``CIFAR_SWEEPS_OUTPUTS`` says; `Store.open` takes another outputs folder, finds single
runs and gives MLflow's own client:

    >>> store = cifar_sweeps.Store.open("outputs")
    >>> run = store.find_run("first try")
    >>> store.client().get_run(run.run_id).data.params["optimizer.lr"]
    >>> cifar_sweeps.load_results("cifar_sweeps", store)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_sweeps.config.compose import compose
    from cifar_sweeps.config.schema import RunConfig
    from cifar_sweeps.errors import CifarSweepsError, ConfigError, DataError, TrackingError, TrainingError
    from cifar_sweeps.runs.run import RunResult, run
    from cifar_sweeps.studies.results import load_history, load_results
    from cifar_sweeps.tracking.recorded_run import RecordedRun
    from cifar_sweeps.tracking.store import Store

__version__ = "0.1.0"

__all__ = [
    "CifarSweepsError",
    "ConfigError",
    "DataError",
    "RecordedRun",
    "RunConfig",
    "RunResult",
    "Store",
    "TrackingError",
    "TrainingError",
    "compose",
    "load_history",
    "load_results",
    "run",
]

_HOMES = {
    "compose": "config.compose",
    "RunConfig": "config.schema",
    "run": "runs.run",
    "RunResult": "runs.run",
    "load_results": "studies.results",
    "load_history": "studies.results",
    "Store": "tracking.store",
    "RecordedRun": "tracking.recorded_run",
}
"""The module of each name; that of the errors is `errors`."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 (whatever the name stands for)
    """Import a name of the API when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the API beside the module's own names."""
    return sorted({*globals(), *__all__})
