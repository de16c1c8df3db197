"""MLflow's saved views: how its page keeps a choice of columns, charts, order and filter as a tag of an experiment.

The form is that of MLflow 3.17's page, which lists these tags under "Views". A card with a ``metricKey`` stands for the
one that the page would draw of this metric by itself; metrics of which no card is given are added by the page, in the
section that their name's prefix names.
"""

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_calls import acceptable_name

TAG = "mlflow.sharedViewState."
"""What the keys of these tags begin with; the view's id follows."""
OF_SWEEPS = "sweep-"
"""What the ids of our own views begin with; the sweep's id follows."""
MAX_LENGTH = 20_000
"""Characters that MLflow takes as the value of an experiment's tag."""
_COMPRESSED = "deflate;"

Card = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """A section of charts under its name. is_open: whether its cards show, ``columns`` beside one another."""

    name: str
    cards: Sequence[Card]
    is_open: bool = False
    columns: int = 3


def view_id(sweep_id: str) -> str:
    """Return the id of a sweep's view: the same each time, so that a later one replaces it."""
    return acceptable_name(f"{OF_SWEEPS}{sweep_id}")


def remove_orphans(store: Store) -> int:
    """Remove the views of sweeps of which the store has no run any more, not even in its trash; return how many."""
    client, removed = store.client(), 0
    for experiment in client.search_experiments():
        views = [key for key in experiment.tags if key.startswith(f"{TAG}{OF_SWEEPS}")]
        kept = {f"{TAG}{view_id(sweep_id)}" for sweep_id in store.sweep_ids(experiment.experiment_id)} if views else ()
        for key in views:
            if key not in kept:
                client.delete_experiment_tag(experiment.experiment_id, key)
                removed += 1
    return removed


def line_card(metrics: Sequence[str]) -> Card:
    """Return a chart of metrics by epoch; of several, each in a dash of its own."""
    axes = {"xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "linear", "range": {}, "yAxisKey": "metric"}
    own = {"selectedXAxisMetricKey": "", "yAxisExpressions": [], "ignoreOutliers": False, "lineSmoothness": 0}
    shared = {"useGlobalXaxisKey": True, "useGlobalLineSmoothing": True}
    replaced = metrics[0] if len(metrics) == 1 else ""  # the page still draws each of several by itself
    return {"type": "LINE", "metricKey": replaced, "selectedMetricKeys": [*metrics], **axes, **own, **shared}


def bar_card(metric: str) -> Card:
    """Return a bar a run of a metric's last value."""
    return {"type": "BAR", "metricKey": metric}


def scatter_card(param: str, metric: str) -> Card:
    """Return a point a run: a metric's last value against a parameter, whose values may be texts."""
    y_axis = {"key": metric, "type": "METRIC", "dataAccessKey": metric}
    return {"type": "SCATTER", "xaxis": {"key": param, "type": "PARAM"}, "yaxis": y_axis}


def parallel_card(params: Sequence[str], metrics: Sequence[str]) -> Card:
    """Return parallel coordinates of all runs, also of those that other charts hide."""
    return {"type": "PARALLEL", "selectedParams": [*params], "selectedMetrics": [*metrics], "showAllRuns": True}


def column(kind: str, key: str) -> str:
    """Return what the page calls a column. kind: ``params``, ``metrics`` or ``tags``."""
    return f"{kind}.`{key}`"


def charts(sections: Sequence[Section]) -> dict[str, Any]:
    """Return the part of a view's state that arranges its charts, in the order given."""
    cards = [
        {"uuid": f"{number}.{place}", "metricSectionId": str(number), "deleted": False, "isGenerated": False, **card}
        for number, section in enumerate(sections)
        for place, card in enumerate(section.cards)
    ]
    arranged = [
        {"uuid": str(number), "name": each.name, "display": each.is_open, "isReordered": True, "columns": each.columns}
        for number, each in enumerate(sections)
    ]
    return {"compareRunCharts": cards, "compareRunSections": arranged, "isAccordionReordered": True}


def encode(name: str, state: Mapping[str, Any], created: int, updated: int) -> str:
    """Return the tag's value. created, updated: milliseconds since 1970."""
    packed = base64.b64encode(zlib.compress(json.dumps(state, separators=(",", ":")).encode(), 9)).decode()
    view = {"name": name, "createdAt": created, "updatedAt": updated, "state": _COMPRESSED + packed}
    return json.dumps(view, separators=(",", ":"))


def decode(value: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the state of a view from its tag's value. Raises ValueError if it is none."""
    view = json.loads(value)
    packed = str(view["state"])
    if not packed.startswith(_COMPRESSED):
        raise ValueError("its state is not compressed as MLflow does it")
    state: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed.removeprefix(_COMPRESSED))))
    return str(view["name"]), state
