"""One small sweep, read back through MLflow's client: is what is recorded complete, and true?"""

import fcntl
import json
import math
import re
import shlex
from pathlib import Path
from unittest.mock import Mock

import mlflow
import numpy as np
import pytest
import torch
import yaml
from conftest import TINY, cifar_train
from mlflow import MlflowClient

from cifar_sweeps.sweeps.parent_run import ParentRun, left_text
from cifar_sweeps.tracking.journal_reader import read_run
from cifar_sweeps.tracking.run_logger import RunHeader, RunLogger
from cifar_sweeps.tracking.ui import saved_view

JOBS = 4


class Swept:
    """A finished sweep: what the command printed, and the client of its store."""

    def __init__(self, outputs: Path) -> None:
        self.outputs = outputs
        self.command = cifar_train("-m", "seed=0,1", "regularization=none,l2", *TINY, CIFAR_SWEEPS_OUTPUTS=str(outputs))
        self.uri = f"sqlite:///{outputs}/mlflow.db"
        self.client = MlflowClient(self.uri)
        self.experiment = self.client.get_experiment_by_name("cifar_sweeps")
        runs = self.client.search_runs([self.experiment.experiment_id])
        self.parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        self.children = sorted(
            (run for run in runs if "mlflow.parentRunId" in run.data.tags),
            key=lambda run: run.data.tags["cifar_sweeps.job"],
        )

    def artifacts(self, run, folder=None):
        return {item.path for item in self.client.list_artifacts(run.info.run_id, folder)}

    def history(self, run, metric):
        return [(point.step, point.value) for point in self.client.get_metric_history(run.info.run_id, metric)]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return Swept(tmp_path_factory.mktemp("sweep with a space"))


def test_the_command_succeeds_and_says_where_to_look(sweep):
    assert sweep.command.returncode == 0, sweep.command.stderr
    printed = sweep.command.stdout
    assert "cifar-sweeps ui" in printed
    assert f"/#/experiments/{sweep.experiment.experiment_id}/runs?workflowType=machine_learning" in printed
    sweep_id = sweep.parents[0].data.tags["cifar_sweeps.sweep_id"]
    assert f"&compareRunsMode=CHART&viewStateShareKey=sweep-{sweep_id}" in printed


def test_a_second_command_does_not_change_the_files_of_a_sweep_that_another_one_controls(sweep):
    (folder,) = (sweep.outputs / "sweeps").iterdir()
    files = [folder / "sweep.json", folder / ".controller.json"]
    before = [file.read_bytes() for file in files]
    with (folder / "journal.jsonl").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        goes_on = {"CIFAR_SWEEPS_OUTPUTS": str(sweep.outputs), "CIFAR_SWEEPS_GOES_ON": str(folder)}
        refused = cifar_train("-m", "seed=0,1,2", "regularization=none,l2", *TINY, **goes_on)
    assert refused.returncode == 1
    assert f"sweep {folder.name}: a command controls it (process " in refused.stderr
    assert f"cifar-sweeps status {folder.name} shows it" in refused.stderr
    assert [file.read_bytes() for file in files] == before


def test_an_interrupt_while_the_command_waits_for_its_imports_ends_the_sweep_as_killed(tmp_path):
    parent = object.__new__(ParentRun)
    parent._logger = RunLogger(RunHeader(tmp_path, tmp_path, "none", None, "study", "sweep x", {}, "identity"))
    parent._warm_up = Mock(finish=Mock(side_effect=KeyboardInterrupt))
    parent._sweep_end, parent.is_left = Mock(), False
    with pytest.raises(KeyboardInterrupt):
        parent.end()
    assert read_run(tmp_path).state == "KILLED"


def test_the_printed_link_names_the_sweep_s_only_view(sweep):
    shown = re.search(r"viewStateShareKey=(\S+)", sweep.command.stdout)[1]
    views = [key for key in sweep.experiment.tags if key.startswith("mlflow.sharedViewState.")]
    assert views == [f"mlflow.sharedViewState.{shown}"]
    _, state = saved_view.decode(sweep.experiment.tags[views[0]])
    columns = [each for each in state["selectedColumns"] if each.startswith("params.")]
    assert columns == ["params.`swept/regularization`", "params.`swept/seed`"]
    for run in sweep.children:
        values = json.loads(run.data.tags["cifar_sweeps.swept"])
        assert {f"params.`swept/{key}`" for key in values} == set(columns)
        assert {key: run.data.params[f"swept/{key}"] for key in values} == values
    bars = {card["metricKey"] for card in state["compareRunCharts"] if card["type"] == "BAR"}
    assert (
        {"best/val_accuracy", "test/accuracy", "test/f1/disc"}
        <= bars
        <= {key for run in sweep.children for key in run.data.metrics}
    )


def test_descriptions_link_sweep_runs_report_and_pictures(sweep):
    parent, experiment = sweep.parents[0], sweep.experiment.experiment_id
    base, mode = f"(#/experiments/{experiment}/runs/", "?workflowType=machine_learning)"
    note = parent.data.tags["mlflow.note.content"]
    assert f"{base}{parent.info.run_id}/artifacts/report/report.html{mode}" in note
    for run in sweep.children:
        assert f"{base}{run.info.run_id}{mode}" in note
        own = run.data.tags["mlflow.note.content"]
        assert f"{base}{parent.info.run_id}{mode}" in own
        assert f"{base}{run.info.run_id}/artifacts/confusion_matrix.png{mode}" in own
        assert f"test accuracy {run.data.metrics['test/accuracy']:.4f}" in own
        assert run.data.tags["cifar_sweeps.repeat"] in own
    assert "_ID}" not in note + "".join(run.data.tags["mlflow.note.content"] for run in sweep.children)


def test_the_sweep_says_how_to_repeat_a_run_and_leaves_its_report(sweep):
    parent = sweep.parents[0]
    best = max(sweep.children, key=lambda run: run.data.metrics["best/val_accuracy"])
    assert f"cifar-sweeps reproduce {best.info.run_id[:8]}" in sweep.command.stdout
    repeat = best.data.tags["cifar_sweeps.repeat"]
    assert f"cifar-train {repeat.partition('cifar-train ')[2]}" in sweep.command.stdout
    assert "trainer.threads=1 trainer.precision=fp32" in repeat
    names = {f"report/report.{ending}" for ending in ("html", "md", "csv")}
    assert sweep.artifacts(parent, "report") == names
    (page,) = (sweep.outputs / "sweeps").glob("*/report/report.html")
    assert "regularization=l2" in page.read_text() or ">l2<" in page.read_text()


def test_a_run_says_what_it_is_an_arm_of_and_how_much_of_the_training_it_is(sweep):
    tags = sweep.children[0].data.tags
    assert json.loads(tags["cifar_sweeps.swept"]) == {"seed": "0", "regularization": "none"}
    assert tags["cifar_sweeps.budget"] == "full"
    assert tags["cifar_sweeps.validated_on"] == "validation"


def test_the_table_is_sorted_by_best_validation_accuracy(sweep):
    rows = [line for line in sweep.command.stdout.splitlines() if line.rstrip().endswith("finished")]
    shown = [float(found.group()) for row in rows if (found := re.search(r"0\.\d{4}", row))]
    assert len(shown) == JOBS
    assert shown == sorted(shown, reverse=True)


def test_one_finished_parent_with_finished_children(sweep):
    assert [run.info.status for run in sweep.parents] == ["FINISHED"]
    assert [run.info.status for run in sweep.children] == ["FINISHED"] * JOBS
    parent = sweep.parents[0].info.run_id
    assert {run.data.tags["mlflow.parentRunId"] for run in sweep.children} == {parent}


def test_the_parent_says_how_the_cores_were_shared(sweep):
    tags = sweep.parents[0].data.tags
    assert 1 <= int(tags["cifar_sweeps.n_jobs"]) <= JOBS
    assert tags["cifar_sweeps.threads"] == "1"


def test_children_are_named_by_their_swept_values(sweep):
    assert [run.info.run_name for run in sweep.children] == [
        "seed=0 regularization=none",
        "seed=0 regularization=l2",
        "seed=1 regularization=none",
        "seed=1 regularization=l2",
    ]


def test_metrics_by_epoch(sweep):
    for run in sweep.children:
        named = ["train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr", "epoch_seconds", "images_per_second"]
        if "l2" in run.info.run_name:
            named += ["train/objective", "val/objective"]
        for metric in named:
            history = sweep.history(run, metric)
            assert [step for step, _ in history] == [1, 2], metric
            assert all(math.isfinite(value) for _, value in history), metric


def test_metrics_of_the_whole_run_agree_with_the_epochs(sweep):
    for run in sweep.children:
        accuracies = dict(sweep.history(run, "val/accuracy"))
        figures = run.data.metrics
        assert figures["final/val_accuracy"] == accuracies[2]
        assert figures["best/val_accuracy"] == max(accuracies.values()) == accuracies[figures["best/epoch"]]
        assert sweep.history(run, "test/accuracy")[0][0] == sweep.history(run, "test/loss")[0][0] == 2
        assert figures["model/parameters"] > 0
        assert figures["model/multiply_adds"] > 0


def test_objectives_only_where_there_is_a_penalty(sweep):
    for run in sweep.children:
        has_penalty = "l2" in run.info.run_name
        assert ("train/objective" in run.data.metrics) == has_penalty
        assert ("test/objective" in run.data.metrics) == has_penalty
        if has_penalty:
            assert run.data.metrics["test/objective"] > run.data.metrics["test/loss"]


def test_parameters_are_the_flattened_config(sweep):
    run = sweep.children[1]
    assert run.data.params["regularization.l2"] == "0.0005"
    assert run.data.params["trainer.epochs"] == "2"
    assert run.data.params["seed"] == "0"
    assert run.data.params["model._target_"] == "cifar_sweeps.models.ConvNet"


def test_tags_tell_where_the_run_comes_from(sweep):
    names = "sweep_id study config_hash overrides data data_fingerprint git_commit git_clean cpu gpu device precision"
    names += " threads version.torch version.mlflow version.hydra-core python folder"
    for run in sweep.children:
        tags = {key.removeprefix("cifar_sweeps."): value for key, value in run.data.tags.items()}
        assert set(names.split()) <= set(tags)
        assert tags["precision"] == "fp32"
        assert tags["threads"] == "1"
        assert tags["version.torch"] == torch.__version__.split("+")[0] or tags["version.torch"] == torch.__version__
        assert re.fullmatch("[0-9a-f]{16}", tags["config_hash"])
    hashes = {run.data.tags["cifar_sweeps.config_hash"] for run in sweep.children}
    assert len(hashes) == JOBS
    assert len({run.data.tags["cifar_sweeps.data_fingerprint"] for run in sweep.children}) == 1


def test_artifacts(sweep):
    for run in sweep.children:
        assert {
            "config.yaml",
            "learning_curves.png",
            "confusion_matrix.png",
            "classification_report.txt",
            "classification_report.json",
            "predictions.png",
            "predictions.npz",
            "analysis.json",
            "calibration.png",
            "mistakes.png",
            "confused_pairs.png",
            "checkpoints",
        } <= sweep.artifacts(run)
        assert sweep.artifacts(run, "checkpoints") == {"checkpoints/last.pt", "checkpoints/best.pt"}


def test_the_recorded_config_is_the_run_s_own(sweep, tmp_path):
    run = sweep.children[3]
    path = sweep.client.download_artifacts(run.info.run_id, "config.yaml", str(tmp_path))
    config = yaml.safe_load(Path(path).read_text())
    assert (config["seed"], config["regularization"]["l2"], config["trainer"]["threads"]) == (1, 5e-4, 1)


def test_checkpoints_load_without_running_code(sweep, tmp_path):
    run = sweep.children[0]
    folder = sweep.client.download_artifacts(run.info.run_id, "checkpoints", str(tmp_path))
    last = torch.load(Path(folder, "last.pt"), weights_only=True)
    assert {"model", "optimizer", "schedule", "epoch", "config", "metrics"} <= set(last)
    assert last["epoch"] == 2
    assert [row["epoch"] for row in last["metrics"]] == [1, 2]
    best = torch.load(Path(folder, "best.pt"), weights_only=True)
    assert set(best) == set(last["model"])


def test_the_logged_model_predicts_what_the_record_says(sweep, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", sweep.uri)
    run = best_of(sweep)
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    cache = next((sweep.outputs / "data" / "cache").glob("synthetic-*.pt"))
    held = torch.load(cache, weights_only=True)
    images = held["test_pixels"].permute(0, 3, 1, 2).contiguous().numpy()
    probabilities = model.predict(images)
    assert probabilities.shape == (60, 10)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    accuracy = (probabilities.argmax(axis=1) == held["test_labels"].numpy()).mean()
    assert accuracy == pytest.approx(run.data.metrics["test/accuracy"])


def best_of(sweep):
    return max(sweep.children, key=lambda run: run.data.metrics["best/val_accuracy"])


def test_the_best_run_alone_has_its_model_and_the_others_say_how_they_get_one(sweep):
    best = best_of(sweep)
    assert f'mlflow.pyfunc.load_model("runs:/{best.info.run_id}/model")' in sweep.command.stdout
    for run in sweep.children:
        of_run = f"source_run_id = '{run.info.run_id}'"
        models = sweep.client.search_logged_models([run.info.experiment_id], of_run)
        assert len(models) == (run is best)
        note = run.data.tags["mlflow.note.content"]
        assert ("load_model(" in note) == (run is best)
        assert (f"cifar-sweeps export --format mlflow {run.info.run_id}` makes it" in note) == (run is not best)


def test_the_data_set_is_an_input_of_the_run(sweep):
    for run in sweep.children:
        (given,) = run.inputs.dataset_inputs
        tags = {tag.key: tag.value for tag in given.tags}
        assert tags.pop("mlflow.data.context") == "training"
        assert tags == {"num_images.training": "150", "num_images.validation": "50", "num_images.test": "60"}
        assert json.loads(given.dataset.profile)["num_classes"] == 10
        assert given.dataset.digest == run.data.tags["cifar_sweeps.data_fingerprint"]


@pytest.mark.slow
def test_a_run_repeated_from_its_recorded_overrides_is_the_same_bit_for_bit(sweep, outputs):
    run = sweep.children[3]
    overrides = shlex.split(run.data.tags["cifar_sweeps.overrides"])
    threads = run.data.tags["cifar_sweeps.threads"]
    again = cifar_train(*overrides, f"trainer.threads={threads}", "analysis.log_model=false")
    assert again.returncode == 0, again.stderr
    client = MlflowClient(f"sqlite:///{outputs}/mlflow.db")
    (single,) = client.search_runs([client.get_experiment_by_name("cifar_sweeps").experiment_id])
    assert "mlflow.parentRunId" not in single.data.tags
    for metric in ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "train/objective"):
        repeated = [(point.step, point.value) for point in client.get_metric_history(single.info.run_id, metric)]
        assert repeated == sweep.history(run, metric)
    assert single.data.metrics["test/loss"] == run.data.metrics["test/loss"]
    assert single.data.tags["cifar_sweeps.config_hash"] == run.data.tags["cifar_sweeps.config_hash"]


def test_each_job_s_log_has_what_a_single_run_prints(sweep):
    for run in sweep.children:
        log = Path(run.data.tags["cifar_sweeps.folder"], "run.log").read_text()
        assert "epoch 1/2" in log
        assert "epoch 2/2" in log
        assert "test accuracy" in log


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["FINISHED"], ""),
        (["FINISHED", "KILLED"], ", 1 of them not finished"),
        (["FINISHED", "PAUSED", "PAUSED"], ", 2 of them paused"),
        (["PAUSED", "FAILED"], ", 1 of them paused, 1 not finished"),
    ],
)
def test_what_early_stopping_paused_is_told_apart_from_what_was_stopped(states, said):
    assert left_text(states) == said
