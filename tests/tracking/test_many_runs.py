"""Many runs are read from a database as MLflow's search has them."""

import math
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from cifar_sweeps.tracking import many_runs
from cifar_sweeps.tracking.many_runs import search_runs


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A store of two experiments: runs that began at once, one without anything, one that is deleted, odd values."""
    client = MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('store') / 'mlflow.db'}")
    for name in ("first", "second"):
        experiment = client.create_experiment(name)
        for number, start in enumerate((3000, 1000, 1000, 2000)):
            run = client.create_run(experiment, start, {"kind": "odd" if number % 2 else "even"}, f"run '{number}'")
            run_id = run.info.run_id
            if number == 0:
                continue
            client.log_param(run_id, "optimizer.lr", str(number))
            client.log_param(run_id, "empty", "")
            for step, value in enumerate((0.5, math.nan, math.inf)[:number]):
                client.log_metric(run_id, "loss", value, step=step)
            client.log_metric(run_id, "accuracy", 0.1 * number)
            client.set_terminated(run_id, "FAILED" if number == 1 else "FINISHED", 5000)
        client.delete_run(client.create_run(experiment, 500).info.run_id)
    return client


def _told(runs):
    return [
        (
            *(run.info.run_id, run.info.run_name, str(run.info.experiment_id), run.info.status),
            *(run.info.start_time, run.info.end_time, repr(sorted(run.data.metrics.items()))),
            *(dict(run.data.params), dict(run.data.tags)),
        )
        for run in runs
    ]


@pytest.mark.parametrize("tag", [None, ("kind", "odd"), ("kind", "none such"), ("no such tag", "odd")], ids=str)
@pytest.mark.parametrize("chosen", [["first"], ["first", "second"]], ids=" and ".join)
def test_a_database_is_read_as_mlflow_searches_it(client, chosen, tag):
    experiments = [client.get_experiment_by_name(name).experiment_id for name in chosen]
    condition = "" if tag is None else f"tags.`{tag[0]}` = '{tag[1]}'"
    searched = client.search_runs(experiments, condition, ViewType.ACTIVE_ONLY, order_by=["attributes.start_time ASC"])
    assert _told(search_runs(client, experiments, tag)) == _told(searched)
    assert len(searched) == len(chosen) * {None: 4, ("kind", "odd"): 2}.get(tag, 0)


@pytest.mark.parametrize(("table", "columns"), [("SqlRun", "run_uuid no_such"), ("SqlNoSuch", "run_uuid")])
def test_a_database_of_another_mlflow_is_searched_like_a_server(client, monkeypatch, table, columns):
    before, searched = _told(search_runs(client, ["1", "2"])), []
    monkeypatch.setitem(many_runs._COLUMNS, table, columns)
    search = client.search_runs
    monkeypatch.setattr(client, "search_runs", lambda *words: searched.append(words) or search(*words))
    assert _told(search_runs(client, ["1", "2"])) == before
    assert len(searched) == 1


def test_a_server_is_searched_page_by_page():
    asked = []

    class Page(list):
        token = None

    def search(experiments, condition, view, count, order, token):
        asked.append((condition, token))
        page = Page([f"run {len(asked)}"])
        page.token = "more" if len(asked) == 1 else None
        return page

    found = search_runs(SimpleNamespace(search_runs=search), ["1"], ("kind", "odd"))
    assert found == ["run 1", "run 2"]
    assert asked == [("tags.`kind` = 'odd'", None), ("tags.`kind` = 'odd'", "more")]
