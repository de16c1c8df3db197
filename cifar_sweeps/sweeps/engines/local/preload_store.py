"""Import what the jobs need to send their records to a server, in the fork server: MLflow."""

import contextlib

from cifar_sweeps.system.gc_control import imports_without_gc

with imports_without_gc(), contextlib.suppress(Exception):  # the job that sends reports what is wrong
    import mlflow.store.artifact.mlflow_artifacts_repo
    import mlflow.store.tracking.rest_store  # noqa: F401
