"""Where to look in MLflow's page."""

import os
from urllib.parse import quote

from cifar_sweeps.tracking.store import PREFIX

UI_ADDRESS = "http://127.0.0.1:5000"


def ui_command() -> str:
    """Return the command that opens the MLflow page: the user's own way in."""
    return "make ui" if os.environ.get("CIFAR_SWEEPS_MAKE") else "cifar-sweeps ui"


def compare_link(experiment_id: str, sweep_id: str) -> str:
    """Return the address, after the host, of the page that compares a sweep's runs as charts.

    Opened plainly, MLflow 3.17 lands on a page about language models; sorted by a metric it unfolds the children.
    """
    search = quote(f"tags.`{PREFIX}sweep_id` = '{sweep_id}'", safe="")
    order = quote("metrics.`best/val_accuracy`", safe="")
    return (
        f"/#/experiments/{experiment_id}/runs?workflowType=machine_learning&compareRunsMode=CHART"
        f"&orderByKey={order}&orderByAsc=false&searchFilter={search}"
    )
