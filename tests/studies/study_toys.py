"""Fixture store of a study, as a sweep records it: three arms, three seeds, one failed run."""

import json

import yaml
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from sqlalchemy import event
from sqlalchemy.engine import Engine

from cifar_sweeps.tracking.store import Store
from cifar_sweeps.tracking.store_uri import tracking_uri

SHORT = "short: 3 of 35 epochs, 2,000 of 40,000 training images"
ARMS = {
    "lenet_report/l2": (0.60, 0.62, 0.61),
    "lenet_report/dropout": (0.70, 0.73, 0.71),
    "lenet_report/both": (0.70, 0.72, 0.73),
}
"""Final validation accuracy by seed."""

CLAIMS = [
    {
        "says": "Dropout beats L2",
        "where": "document 002",
        "metric": "val/accuracy",
        "arm": "lenet_report/dropout",
        "against": "lenet_report/l2",
        "expects": "higher",
    }
]
PUBLISHED = {
    "lenet_report/dropout": [
        {"metric": "val/objective", "value": 0.765, "where": "document 002, fig. 4E"},
        {"metric": "val/accuracy", "value": 0.65, "where": "document 002, epoch 2", "epoch": 2},
        {"metric": "val/accuracy", "values": [0.5, 0.6, 0.7, 0.8], "where": "document 002, curve"},
    ],
    "lenet_report/l2": [{"metric": "val/accuracy", "value": 0.7, "where": "document 002", "epoch": 30}],
}


@event.listens_for(Engine, "connect")
def _disable_fsync(connection, _record):
    connection.execute("PRAGMA synchronous=OFF")  # a test's store need not survive a power failure


class ToyStore:
    """Record sweeps and runs with MLflow's client."""

    def __init__(self, outputs):
        self.store = Store(tracking_uri(None, outputs), outputs)
        self.client: MlflowClient = self.store.client()

    def sweep(self, study, sweep_id, overrides="study=toy"):
        tags = {"role": "sweep", "sweep_id": sweep_id, "study": study, "overrides": overrides}
        run = self.client.create_run(self.store.prepare(study), run_name=f"sweep {sweep_id}", tags=_prefixed(tags))
        self.client.set_terminated(run.info.run_id, "FINISHED")
        return run.info.run_id

    def run(
        self,
        study,
        val,
        *,
        swept,
        seed=0,
        parent=None,
        tags=None,
        state="FINISHED",
        config=None,
        epochs=3,
        params=None,
        classes=None,
        analysis=None,
    ):
        """Record a run: validation accuracy rises by 0.05 an epoch to ``val``; training accuracy is 0.1 above."""
        own_tags = {
            "swept": json.dumps({**swept, "seed": str(seed)}),
            "budget": "full",
            "data": "cifar10",
            **(tags or {}),
        }
        mlflow_tags = {"mlflow.parentRunId": parent} if parent else {}
        name = " ".join([*swept.values(), f"seed={seed}"])
        client = self.client
        run_id = client.create_run(
            self.store.prepare(study), run_name=name, tags={**mlflow_tags, **_prefixed(own_tags)}
        ).info.run_id
        metrics = [Metric("model/parameters", 1_668_906, 1, 0), Metric("model/multiply_adds", 38_500_000, 1, 0)]
        for epoch in range(1, epochs + 1):
            accuracy = val - 0.05 * (epochs - epoch)
            by_epoch = {
                "train/loss": 1.0 - accuracy,
                "train/accuracy": accuracy + 0.1,
                "val/loss": 1.2 - accuracy,
                "val/accuracy": accuracy,
                "lr": 0.001,
                "epoch_seconds": 9.0 if epoch == 1 else 2.0,
            }
            metrics += [Metric(key, value, epoch, epoch) for key, value in by_epoch.items()]
        if state == "FINISHED":
            final = {
                "best/val_accuracy": val,
                "best/epoch": epochs,
                "test/accuracy": val - 0.01,
                "test/loss": 1.3 - val,
            }
            metrics += [Metric(key, value, 99, epochs) for key, value in final.items()]
        recorded = {"seed": str(seed), "trainer.epochs": str(epochs), **(params or {})}
        client.log_batch(run_id, metrics=metrics, params=[Param(key, value) for key, value in recorded.items()])
        if classes is not None:
            recalls = [Metric(f"test/recall/{name}", value, 99, epochs) for name, value in classes.items()]
            client.log_batch(run_id, metrics=recalls)
        if analysis is not None:
            client.log_text(run_id, json.dumps(analysis), "analysis.json")
        if config is not None:
            client.log_text(run_id, yaml.safe_dump(config), "config.yaml")
        if state == "RUNNING":
            return run_id
        if state != "FINISHED":
            client.log_batch(
                run_id, tags=[RunTag(key, value) for key, value in _prefixed({"failure": "out | of\nmemory"}).items()]
            )
        client.set_terminated(run_id, state)
        return run_id


def regularization(toy):
    """Record two sweeps of the study `regularization`: the newer has three arms by three seeds and a failed run."""
    old = toy.sweep("regularization", "old")
    toy.run(
        "regularization", 0.5, swept={"experiment": "lenet_report/l2"}, seed=7, parent=old, tags={"sweep_id": "old"}
    )
    new = toy.sweep("regularization", "new", "experiment=a,b seed=0,1,2")
    machine = {"sweep_id": "new", "cpu": "A processor", "device": "cpu", "platform": "Linux", "version.torch": "2.14.1"}
    for arm, finals in ARMS.items():
        for seed, val in enumerate(finals):
            config = {
                "claims": CLAIMS,
                "published": PUBLISHED.get(arm, []),
                "assumptions": [f"assumed for {arm}"],
            }
            threads = {"threads": str(1 + seed % 2), "validated_on": "test" if arm.endswith("both") else "validation"}
            toy.run(
                "regularization", val, swept={"experiment": arm}, seed=seed, parent=new, config=config,
                tags={**machine, **threads},
            )  # fmt: skip
    toy.run(
        "regularization", 0.4, swept={"experiment": "lenet_report/l2"}, seed=3, parent=new, state="FAILED", epochs=1,
        params={"trainer.epochs": "3"}, tags={**machine, "failed_epoch": "2"},
    )  # fmt: skip
    return new


def _prefixed(tags):
    return {f"cifar_sweeps.{key}": value for key, value in tags.items()}
