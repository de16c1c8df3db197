"""What the fork server imports besides, where the runs export their models (``analysis.log_model``)."""

from cifar_sweeps.system.gc_control import imports_stay

with imports_stay():
    from cifar_sweeps.analysis.mlflow_model import warm_up

    warm_up()
