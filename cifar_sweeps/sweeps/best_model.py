"""The model of a sweep's best run, for MLflow to serve, made when the sweep has ended."""

from collections.abc import Iterator, Mapping

from cifar_sweeps.errors import in_one_line
from cifar_sweeps.runs.description import load_call, loading_lines
from cifar_sweeps.runs.served_model import give_served_model, has_served_model
from cifar_sweeps.runs.trained_run import open_trained_run
from cifar_sweeps.system.scripts import shell_command
from cifar_sweeps.tracking.recorded_run import RecordedRun
from cifar_sweeps.tracking.store import Store


def best_model_lines(
    best: RecordedRun, store: Store, environment: Mapping[str, str], cache: str | None = None
) -> Iterator[str]:
    """Make the model of a sweep's best run, unless it has one, and yield how it is loaded, and how another's is made.

    best: as its journal has it. environment: with which the printed commands find its store. cache: the folder of
    decoded images that the sweep was told to use, or they would be decoded once more for this. Raises nothing: the
    runs are safe, and a model can be made later.
    """

    def command(run: str) -> str:
        return shell_command("cifar-sweeps", ["export", run, "--format", "mlflow"], environment)

    yield f"Model of the best run, {best.name} (of another: {command('RUN')}):"
    try:
        if not has_served_model(best.run_id, store):
            give_served_model(open_trained_run(best, store, own_cache=cache))
        lines = loading_lines(load_call(best.run_id), store.uri)
    except Exception as error:  # noqa: BLE001 (whatever it is, it must not hide what else is printed)
        yield f"  it could not be made: {in_one_line(error)}; try again: {command(best.run_id[:8])}"
        return
    yield from lines  # as Python takes them, which allows no indentation
