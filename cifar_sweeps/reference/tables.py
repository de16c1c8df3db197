"""Make a study's table from its archive alone: the same archive gives the same table."""

import os
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import DataError
from cifar_sweeps.reference import archive
from cifar_sweeps.reference.campaign import archive_path
from cifar_sweeps.studies.query import find_runs
from cifar_sweeps.studies.reports.study_report import write_report
from cifar_sweeps.studies.validity.timings import NAME
from cifar_sweeps.system.files import write_text_atomic
from cifar_sweeps.tracking import journal
from cifar_sweeps.tracking.delivery import deliver
from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import embedded_uri


def make_table(study: str, folder: Path) -> list[Path]:
    """Write ``STUDY.md`` and ``STUDY.csv`` into the folder of the reference from the study's archive; return them.

    Raises DataError if there is no archive.
    """
    source = archive_path(folder, study)
    if not source.exists():
        raise DataError(f"{source}: there is no such archive; train first: python -m cifar_sweeps.reference {study}")
    with tempfile.TemporaryDirectory() as place:
        outputs = Path(place)
        archive.unpack(source, outputs)
        for run in journal.folders(outputs):  # a sweep's own folder comes ahead of those of its jobs
            deliver(run)
        if (folder / NAME).exists():  # claims about seconds rest on it
            (outputs / "reference").mkdir()
            shutil.copy(folder / NAME, outputs / "reference" / NAME)
        store = Store(embedded_uri(outputs), outputs)
        sweeps = [sweep.sweep_id for sweep in find_runs(study, store).sweeps]
        report = write_report(study, outputs / "report.html", store, sweeps)
        text = report.markdown.read_text(encoding="utf-8").replace(f"{conf_folder().parent}{os.sep}", "")
        # MLflow's ids are drawn anew in each store.
        table = pd.read_csv(report.table, dtype=str, keep_default_na=False).drop(columns="run_id").to_csv(index=False)
    again = f"\n\nMade from `journals/{source.name}` alone, by `python -m cifar_sweeps.reference table {study}`.\n"
    paths = [folder / f"{study}.md", folder / f"{study}.csv"]
    write_text_atomic(paths[0], text.rstrip() + again)
    write_text_atomic(paths[1], table)
    return paths
