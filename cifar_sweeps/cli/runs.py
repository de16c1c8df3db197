"""`cifar-sweeps resume`, `promote`, `logs`, `reproduce` and `extend`: what is done with recorded sweeps and runs."""

from typing import Annotated

import typer

from cifar_sweeps.cli.common import Overrides, outputs_folder
from cifar_sweeps.cli.completion import complete_run, complete_sweep, complete_sweep_or_run
from cifar_sweeps.errors import ConfigError, TrackingError
from cifar_sweeps.system.files import is_inside

RunName = Annotated[
    str,
    typer.Argument(help="a run's id, the beginning of its id, or a name that one run has", autocompletion=complete_run),
]


def resume(
    sweep_or_run: Annotated[
        str,
        typer.Argument(
            help="a sweep's id, a run's id or folder name, or the beginning of one",
            autocompletion=complete_sweep_or_run,
        ),
    ],
) -> None:
    """Resume a stopped sweep or run: finished jobs are kept, the others continue from their checkpoints."""
    from cifar_sweeps.sweeps.resume import resume as resume_training

    resume_training(sweep_or_run, outputs_folder())


def promote(
    sweep: Annotated[str, typer.Argument(help="a sweep's id, or the beginning of it", autocompletion=complete_sweep)],
    jobs: Annotated[
        list[str] | None, typer.Argument(help="numbers of its paused jobs, as the sweep's table has them")
    ] = None,
) -> None:
    """Train jobs that early stopping has paused to their ends, and resume their sweep."""
    from cifar_sweeps.sweeps.resume import promote as promote_jobs

    wrong = [job for job in jobs or [] if not job.isdecimal()]
    if wrong:
        raise ConfigError(f"{wrong[0]}: is no job's number; cifar-sweeps promote {sweep} names those that are paused")
    promote_jobs(sweep, [int(job) for job in jobs or []], outputs_folder())


def logs(run: RunName) -> None:
    """Print the log file of a run, with its traceback if it failed."""
    from cifar_sweeps.tracking.store import default_store

    store = default_store()
    recorded = store.find_run(run)
    folder = recorded.folder_in(store.outputs)
    if folder is None:
        raise TrackingError(f"{run}: was recorded without its folder, by another program; its log is not known")
    path = folder / "run.log"
    if not is_inside(path, store.outputs):  # the record may be another user's, and name any file
        raise TrackingError(
            f"{run}: its log {path} is not in {store.outputs}; open it yourself, or set CIFAR_SWEEPS_OUTPUTS"
        )
    if not path.is_file():
        raise TrackingError(f"{run}: its log {path} is not on this machine, or was deleted")
    typer.echo(path.read_text(encoding="utf-8", errors="replace"), nl=False)


def reproduce(
    run: RunName,
    overrides: Overrides = None,
    show: Annotated[bool, typer.Option("--show", help="only print the command that repeats the run")] = False,
    accuracy: Annotated[float, typer.Option(help="tolerance of accuracies, absolute")] = 0.03,
    loss: Annotated[float, typer.Option(help="tolerance of losses, relative to the recorded loss")] = 0.1,
) -> None:
    """Train a recorded run again and compare its metrics; with OVERRIDES, show what they change."""
    from rich.console import Console

    from cifar_sweeps.runs import reproduce as reproduction
    from cifar_sweeps.runs.recorded import repeat_command
    from cifar_sweeps.runs.reproduction_check import Tolerance
    from cifar_sweeps.system.signals import interrupt_on_signals
    from cifar_sweeps.tracking.store import default_store

    store, console = default_store(), Console(highlight=False)
    recorded = store.find_run(run)
    typer.echo(f"Run {recorded.run_id[:8]}, {recorded.name}:")
    typer.echo(repeat_command(recorded, overrides or []))
    if show:
        return
    with interrupt_on_signals():
        tolerance = Tolerance(accuracy, loss)
        if overrides:
            verdict = reproduction.rerun_with_overrides(recorded, overrides, store, console, tolerance)
        else:
            verdict = reproduction.reproduce(recorded, store, console, tolerance)
    if verdict is None:
        return
    typer.echo(verdict.text)
    if not verdict.holds:
        raise typer.Exit(1)


def extend(
    run: RunName,
    overrides: Annotated[
        list[str],
        typer.Argument(
            help="trainer.epochs=N, and with it trainer.test_at=[…] or trainer.early_stopping.patience=…; or "
            "trainer.threads, precision, device, data.root"
        ),
    ],
) -> None:
    """Make a finished run longer: a new run resumes from its last checkpoint, optimizer included.

    cifar-sweeps extend RUN trainer.epochs=200: its curves and its best checkpoint are those of all 200 epochs.

    With a learning rate that does not depend on the length, it ends as 200 epochs at once would, to the bit.

    A cosine goes on with the rate of the longer one, which a line says; tables keep such a run apart.

    An interrupted one is resumed by cifar-sweeps resume. A run with trainer.parts cannot be made longer.
    """
    from rich.console import Console

    from cifar_sweeps.runs.extension.extend import extend as extend_run
    from cifar_sweeps.system.signals import interrupt_on_signals
    from cifar_sweeps.tracking.store import default_store

    store, console = default_store(), Console(highlight=False)
    recorded = store.find_run(run)
    typer.echo(f"Run {recorded.run_id[:8]}, {recorded.name}:")
    with interrupt_on_signals():
        extend_run(recorded, overrides, store, console)
