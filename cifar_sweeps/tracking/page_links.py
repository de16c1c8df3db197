"""Addresses on MLflow's page, in its "Model training" mode: of a run, an artifact, a saved view.

Each begins with ``#``, so that it holds on whatever host and port the page is served. A run's journal does not know the
ids that a store gives, so a description names them by `EXPERIMENT`, `RUN` and `PARENT`, which the delivery fills in.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

EXPERIMENT, RUN, PARENT = "{EXPERIMENT_ID}", "{RUN_ID}", "{PARENT_RUN_ID}"
"""What stands in a description for the ids of its experiment, its run, and that one's parent."""
NOTE = "mlflow.note.content"
"""The tag that MLflow's page shows as a run's description, in Markdown."""
MODEL_NAME = "model"
"""Of a run's own model: ``runs:/RUN_ID/model``."""
_MODE = "workflowType=machine_learning"
"""Without it the page opens on what it has for language models."""

_MARKUP, _ESCAPED = re.compile(r"([\\|`*<\[\]])"), r"\\\1"


def run_page(experiment_id: str = EXPERIMENT, run_id: str = RUN, artifact: str = "") -> str:
    """Return the address of a run's page; artifact: of that file of its, such as ``report/report.html``."""
    path = f"/artifacts/{quote(artifact)}" if artifact else ""
    return f"#/experiments/{experiment_id}/runs/{run_id}{path}?{_MODE}"


def view_page(experiment_id: str, view_id: str) -> str:
    """Return the address of an experiment's runs as a saved view arranges them, as charts."""
    # Any filter or order in the address would overrule the view's.
    return f"#/experiments/{experiment_id}/runs?{_MODE}&compareRunsMode=CHART&viewStateShareKey={quote(view_id)}"


def filtered_page(experiment_id: str, condition: str) -> str:
    """Return the address of an experiment's runs that fulfil a condition, as charts, the best first.

    Sorted by a metric the page unfolds the children of each sweep.
    """
    order, search = quote("metrics.`best/val_accuracy`", safe=""), quote(condition, safe="")
    return (
        f"#/experiments/{experiment_id}/runs?{_MODE}&compareRunsMode=CHART"
        f"&orderByKey={order}&orderByAsc=false&searchFilter={search}"
    )


def with_ids(description: str, ids: Mapping[str, str]) -> str:
    """Return a description with the store's ids; ids: by `EXPERIMENT`, `RUN` and `PARENT`."""
    for placeholder, value in ids.items():
        description = description.replace(placeholder, value)
    return description


def link(text: str, address: str) -> str:
    """Return a link in Markdown."""
    return f"[{_MARKUP.sub(_ESCAPED, _one_line(text))}]({address})"


def code(text: str) -> str:
    """Return a text as it is, in Markdown, on one line; also in a cell of a table."""
    plain = _one_line(text).replace("|", "\\|")
    return f"`` {plain} ``" if "`" in plain else f"`{plain}`"


def _one_line(text: str) -> str:
    return " ".join(text.split())
