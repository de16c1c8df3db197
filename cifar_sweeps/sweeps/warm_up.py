"""Import beside the training what a sweep's command needs once all jobs have ended: the export, and the report."""

import contextlib
import importlib
import threading

_REPORT = "cifar_sweeps.studies.reports.study_report"
_SECONDS = 3.0
"""By then the first jobs train, whose start these imports would delay."""


class WarmUp:
    """Imports in a thread of its own, from some seconds on.

    export: whether a model will be saved, report: whether the report will be written.
    """

    def __init__(self, export: bool, report: bool) -> None:
        self._export, self._report = export, report
        self._is_due = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="warm-up")
        self._thread.start()

    def finish(self) -> None:
        """Wait until all is imported; at once if nothing has been yet: whoever needs it imports it then."""
        self._is_due.set()
        self._thread.join()

    def cancel(self) -> None:
        """Begin nothing more, and wait for nothing: no report and no model will be made."""
        self._is_due.set()

    def _run(self) -> None:
        if self._is_due.wait(_SECONDS):
            return
        with contextlib.suppress(Exception):  # whoever needs it says what is wrong
            if self._export:
                from cifar_sweeps.analysis.mlflow_model import warm_up_export

                warm_up_export()
            if self._report and not self._is_due.is_set():
                importlib.import_module(_REPORT)
