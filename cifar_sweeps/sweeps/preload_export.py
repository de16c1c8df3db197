"""What the fork server imports besides, where the runs export their models (``analysis.log_model``)."""

from cifar_sweeps.analysis.saved_model import warm_up
from cifar_sweeps.sweeps.preload import imported

_FOR_EXPORT = (
    "mlflow.pyfunc",
    "mlflow.pytorch",
    "networkx",
    "torch._export.passes.collect_tracepoints_pass",
    "torch._functorch.aot_autograd",
    "torch._inductor.compile_fx",
    "torch.export.pt2_archive",
)

imported(_FOR_EXPORT)
warm_up()
