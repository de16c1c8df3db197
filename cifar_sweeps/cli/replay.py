"""`cifar-sweeps replay`: what early stopping would have saved, and lost, in a sweep that is finished."""

from typing import Annotated

import typer

from cifar_sweeps.cli.common import mark_abandoned_runs
from cifar_sweeps.cli.completion import complete_sweep_or_study


def replay(
    what: Annotated[
        str,
        typer.Argument(
            metavar="STUDY|SWEEP",
            help="a study's name, a sweep's id, or the beginning of one; trained without early stopping",
            autocompletion=complete_sweep_or_study,
        ),
    ],
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="eta=4 grace_epochs=4 metric=val/accuracy|val/loss")
    ] = None,
    early_stopping: Annotated[
        str, typer.Option(help="asha or median, as sweep.early_stopping of cifar-train")
    ] = "asha",
    orders: Annotated[int, typer.Option(min=1, help="how many random orders of the arms")] = 60,
    workers: Annotated[str, typer.Option(help="numbers of jobs at once, by comma")] = "1,4,16",
    json: Annotated[bool, typer.Option("--json", help="everything, as one JSON object")] = False,
) -> None:
    """Tell what early stopping would have saved in a finished sweep, and how much worse the arm is that it picks.

    Its recorded curves are told to the scheduler of real sweeps, in random orders of arrival; nothing is trained.
    """
    import json as json_format

    from rich.console import Console

    mark_abandoned_runs()
    from cifar_sweeps.inspection import replay as replaying
    from cifar_sweeps.inspection import replay_tables
    from cifar_sweeps.studies.reports.terminal_tables import to_rich_table
    from cifar_sweeps.tracking.store import default_store

    chosen = replaying.read_settings(early_stopping, settings or [])
    console = Console(highlight=False)
    with Console(stderr=True).status("") as status:
        found = replaying.replay(what, default_store(), chosen, _numbers(workers), orders, status.update)
    if json:
        typer.echo(json_format.dumps(replay_tables.as_json(found), indent=1, ensure_ascii=False))
        return
    for warning in replay_tables.warnings(found):
        console.print(warning, markup=False)
    console.print(to_rich_table(replay_tables.table(found), console.width))
    *notes, how = replay_tables.lines(found)
    for note in notes:
        console.print(note, markup=False)
    console.print(how, markup=False, soft_wrap=True)  # to be pasted


def _numbers(text: str) -> list[int]:
    from cifar_sweeps.errors import ConfigError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(f"--workers {text}: must be whole numbers above 0 by comma, such as 1,4,16")
    return list(dict.fromkeys(map(int, parts)))
