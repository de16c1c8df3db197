"""Where a person sees runs in MLflow depends on the store: a page to be served, or a server's own."""

import pytest

from cifar_sweeps.sweeps.terminal.where_to_look import mlflow_lines


@pytest.mark.parametrize(
    ("uri", "lines"),
    [
        ("sqlite:////tmp/mlflow.db", ["cifar-sweeps ui", "http://127.0.0.1:5000/#/runs"]),
        ("http://team:5055/", ["http://team:5055/#/runs"]),
        ("https://me:***@team/mlflow", ["https://team/mlflow/#/runs"]),
        (
            "postgresql://me:***@team/runs",
            [
                "mlflow server --backend-store-uri 'postgresql://me:***@team/runs'",
                "http://127.0.0.1:5000/#/runs",
            ],
        ),
        ("databricks", ["databricks: #/runs"]),
    ],
)
def test_where_runs_are_seen(monkeypatch, uri, lines):
    monkeypatch.delenv("CIFAR_SWEEPS_MAKE", raising=False)
    found = list(mlflow_lines(uri, {}, "#/runs"))
    assert [line.rpartition("/bin/")[2] for line in found] == lines
