"""What the fork server imports once, so that no job has to: torch, mlflow, and all that a run uses.

Imported by the server alone. Nothing here may start a thread, for a fork would not take it along.
"""

import contextlib
import importlib

import cifar_sweeps.sweeps.worker  # noqa: F401
from cifar_sweeps.sweeps import job  # noqa: F401

_USED_LATE = (
    "alembic.command",
    "matplotlib.backends.backend_agg",
    "mlflow.pyfunc",
    "mlflow.pytorch",
    "mlflow.store.artifact.local_artifact_repo",
    "mlflow.store.tracking.sqlalchemy_store",
    "networkx",
    "PIL.JpegImagePlugin",
    "PIL.PngImagePlugin",
    "sklearn.metrics",
    "sqlalchemy.dialects.sqlite",
    "torch._dynamo",
    "torch._export.passes.collect_tracepoints_pass",
    "torch._functorch.aot_autograd",
    "torch._inductor.compile_fx",
    "torch.export.pt2_archive",
)
"""What a run imports at its end, to record and to export its model: over three seconds in each job, if not once before
the fork. A module that is not there (any more) costs that time and nothing else."""

for _name in _USED_LATE:
    with contextlib.suppress(ImportError):
        importlib.import_module(_name)
