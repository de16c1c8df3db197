"""Import what the export of models needs too, in the fork server (``analysis.log_model=all``)."""

import contextlib

from cifar_sweeps.system.gc_control import imports_without_gc
from cifar_sweeps.system.gpus import without_cuda

with imports_without_gc():
    from cifar_sweeps.analysis.mlflow_model import warm_up_export

    with without_cuda(), contextlib.suppress(Exception):  # the job that exports reports what is wrong
        warm_up_export()
