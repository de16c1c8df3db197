"""Write an explanation's page and pictures, and log them as artifacts of the explained run."""

from pathlib import Path

from cifar_sweeps.analysis.figures import save
from cifar_sweeps.errors import ConfigError, TrackingError, in_one_line
from cifar_sweeps.inspection.explain.page import render_explanation
from cifar_sweeps.inspection.explain.results import Explanation
from cifar_sweeps.inspection.explain.sheets import sheets
from cifar_sweeps.runs.trained_run import TrainedRun
from cifar_sweeps.system.files import write_text_atomic
from cifar_sweeps.tracking import mlflow_api

FOLDER = "explain"
PAGE = "explain.html"


def check_page(path: Path) -> None:
    """Raise ConfigError if the page cannot be written to ``path``, before anything is computed."""
    if path.is_dir():
        raise ConfigError(f"--out {path}: is a folder; give the page's name, e.g. --out {path / PAGE}")
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"--out {path}: must end in .html, as the page is HTML")


def write_page(found: Explanation, path: Path, command: str) -> Path:
    """Write the page alone, which holds all pictures; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomic(path, render_explanation(found, command))
    return path


def write_artifacts(found: Explanation, command: str) -> tuple[Path, list[Path]]:
    """Write page and pictures into the run's folder, and return them; ``explain/`` there has the newest page.

    A run whose folder is not on this machine has them in the reports of the outputs folder.
    """
    run = found.run
    folder = (run.folder or run.store.outputs / "reports" / run.record.run_id) / FOLDER
    page = write_page(found, folder / PAGE, command)
    pictures = []
    for name, sheet in sheets(found):
        pictures.append(folder / f"{name}.png")
        save(sheet, pictures[-1])
    return page, pictures


def log_artifacts(run: TrainedRun, paths: list[Path]) -> None:
    """Log files under ``explain/`` of the run. Raises TrackingError if the store does not take them."""
    client = run.store.client()
    try:
        for path in paths:
            client.log_artifact(run.record.run_id, str(path), FOLDER)
    except (mlflow_api.MlflowException, OSError) as error:
        raise TrackingError(
            f"{run.label}: {paths[0].parent} is written, and could not be logged to the run ({in_one_line(error)}); "
            "type the command again when the store answers"
        ) from error
