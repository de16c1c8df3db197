"""Entry point of `cifar-sweeps`. Each command is a few lines, and imports torch only if it needs it."""

import os
import shlex
import sys
import traceback

import typer

from cifar_sweeps.cli import (
    compare,
    control,
    data,
    explain,
    export,
    importance,
    label_errors,
    models,
    predict,
    register,
    replay,
    runs,
    store,
    studies,
)
from cifar_sweeps.errors import (
    CifarSweepsError,
    ConfigError,
    TrackingError,
    did_you_mean,
    explain_machine_error,
    hide_secrets,
    in_one_line,
)
from cifar_sweeps.system.gc_control import collect_rarely, skip_final_gc
from cifar_sweeps.system.streams import failed_output
from cifar_sweeps.system.surroundings import prepare

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def cifar_sweeps() -> None:
    """List, compare, resume, reproduce and extend recorded runs. `cifar-train` trains them."""


for _command in (
    models.summary,
    data.data,
    predict.predict,
    export.export,
    store.ui,
    store.sync,
    runs.resume,
    runs.promote,
    control.status,
    control.attach,
    control.stop,
    store.clean,
    runs.logs,
    runs.reproduce,
    register.register,
    runs.extend,
    studies.studies,
    studies.sweeps,
    studies.results,
    studies.report,
    compare.compare,
    importance.importance,
    replay.replay,
    explain.explain,
    label_errors.label_errors,
):
    app.command()(_command)


def main() -> None:
    """Run the command, and report an error as one message without a traceback."""
    skip_final_gc()
    collect_rarely()
    try:
        prepare(lambda _stream, _error: None)
        _check_command(sys.argv[1:])
        app()
    except SystemExit as ended:
        _check_output(ended)
        raise
    except Exception as error:  # noqa: BLE001 (all errors are printed here)
        told = _for_the_user(error)
        if told is None or os.environ.get("HYDRA_FULL_ERROR") == "1":
            sys.exit(hide_secrets(traceback.format_exc()))
        sys.exit(hide_secrets(f"{type(told).__name__}: {told}"))


def _check_command(arguments: list[str]) -> None:
    """Raise ConfigError for what belongs to cifar-train, or is no command, with what to type."""
    names = [
        str(command.name or command.callback.__name__.replace("_", "-"))
        for command in app.registered_commands
        if command.callback
    ]
    word = arguments[0] if arguments and not arguments[0].startswith("-") else None
    if word is None or word in names or "_CIFAR_SWEEPS_COMPLETE" in os.environ:
        return
    if word in ("train", "run", "sweep", "cifar-train", "multirun") or "=" in word:
        rest = shlex.join(arguments if "=" in word else arguments[1:])
        raise ConfigError(f"{word}: cifar-sweeps trains nothing; type cifar-train {rest or 'study=quickstart'}")
    raise ConfigError(f"{word}: is no command; there are {', '.join(names)}{did_you_mean(word, names)}")


def _check_output(ended: SystemExit) -> None:
    """End with an error if what was printed is incomplete; where nobody reads any more (``| head``) it need not be."""
    error = failed_output()
    if error is not None and not ended.code:
        sys.exit(f"MachineError: the output is incomplete: it cannot be written ({error.strerror})")


def _for_the_user(error: Exception) -> CifarSweepsError | None:
    if isinstance(error, CifarSweepsError):
        return error
    if type(error).__name__ in ("MlflowException", "RestException"):  # mlflow is not imported for this
        return TrackingError(f"the store cannot be used: {in_one_line(error)}; see MLFLOW_TRACKING_URI")
    return explain_machine_error(error)


if __name__ == "__main__":
    main()
