"""What a person types, and what the terminal answers."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest
from conftest import TINY
from hydra.core.global_hydra import GlobalHydra
from mlflow import MlflowClient

from cifar_sweeps import app
from cifar_sweeps.cli import main as tool_box
from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import CifarSweepsError

QUICK = (*TINY, "analysis.log_model=false", "analysis.pictures=false")


class Answer(NamedTuple):
    status: object
    out: str
    err: str


@pytest.fixture
def typed(monkeypatch):
    """Run a command's entry in this process, which has imported torch already."""

    def run(main, *arguments: str) -> Answer:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["command", *arguments])
        monkeypatch.setenv("COLUMNS", "100")
        out, err, status = io.StringIO(), io.StringIO(), None
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main()
            except SystemExit as end:
                status = end.code
        if isinstance(status, str):  # sys.exit prints a text and exits with 1
            return Answer(1, out.getvalue(), err.getvalue() + status)
        return Answer(status or 0, out.getvalue(), err.getvalue())

    return run


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]], ids=" ".join)
def test_help_and_cfg_import_neither_torch_nor_mlflow(arguments):
    script = (
        f"import sys; sys.argv[1:] = {arguments}\n"
        "import cifar_sweeps.cli.main, cifar_sweeps.app\n"
        "try: cifar_sweeps.app.main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'mlflow', 'pandas'} & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "[]"


def test_a_fault_is_one_message_without_a_traceback(typed, outputs):
    answer = typed(app.main, "trainer.batch_size=0", "optimizer.lr=nan")
    assert answer.status == 1
    assert answer.err.startswith("ConfigError:")
    assert "trainer.batch_size=0: must be at least 1" in answer.err
    assert "optimizer.lr=nan: must be a finite number above 0" in answer.err
    assert "Traceback" not in answer.err
    assert "Error executing job" not in answer.err
    assert not (outputs / "mlflow.db").exists()


def test_the_multirun_flag_may_stand_behind_an_override(typed):
    answer = typed(app.main, "seed=0", "-m", "lr=0.1")
    assert answer.status == 1
    assert "lr: unknown key" in answer.err
    assert "did you mean 'optimizer.lr'?" in answer.err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=0,1", "seed=0,1: is several values; add -m to sweep over them"),
        ("experiment=base_cnn/bse", "experiment=base_cnn/bse: unknown option; did you mean 'base_cnn/base'?"),
        ("data.split=first", "data.split=first: must be 'stratified' or 'tail' or 'batch_1' or 'test'"),
    ],
)
def test_a_slip_is_told_with_what_was_meant(typed, override, message):
    answer = typed(app.main, override)
    assert answer.status == 1
    assert answer.err.strip() == f"ConfigError: {message}{answer.err.strip().partition(message)[2]}"


def test_the_full_error_is_there_for_those_who_ask(typed, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    answer = typed(app.main, "trainer.batch_size=0")
    assert answer.status == 1
    assert "Traceback" in answer.err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data=image_folder"], "set data.root=FOLDER"),
        (["data=image_folder", "data.root=/nowhere"], "/nowhere: there is no such folder"),
        (["data=cifar10", "data.source.download=false"], "data=synthetic"),
    ],
    ids=["no root", "missing root", "no CIFAR-10"],
)
def test_missing_data_says_what_to_do(overrides, message):
    with pytest.raises(CifarSweepsError) as caught:
        build.images(compose(overrides))
    assert message in str(caught.value)


def test_outputs_that_cannot_be_written_are_told(typed, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(tmp_path / "file" / "below"))
    answer = typed(app.main, *QUICK)
    assert answer.status == 1
    assert answer.err.startswith("ConfigError: outputs:")
    assert str(tmp_path / "file") in answer.err
    assert "Traceback" not in answer.err


def test_a_diverging_run_fails_with_epoch_and_step(typed):
    answer = typed(app.main, *QUICK, "optimizer=sgd", "optimizer.lr=1e30", "tracking=none")
    assert answer.status == 1
    assert "the training diverged" in answer.err
    assert "at epoch 1, step" in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("columns", ["80", "120"])
def test_summary_counts_layers_parameters_and_multiply_adds(typed, monkeypatch, columns):
    monkeypatch.setitem(os.environ, "COLUMNS", columns)
    answer = typed(tool_box.main, "summary", "model=lenet_3", "kernel_size=k3_5")
    assert answer.status == 0
    assert "1,668,906" in answer.out
    assert "73,241,600" in answer.out


@pytest.mark.parametrize("arguments", [("ui",), ("logs", "x"), ("reproduce", "x")], ids=" ".join)
def test_tools_without_a_store_say_what_to_do(typed, arguments, outputs):
    answer = typed(tool_box.main, *arguments)
    assert answer.status == 1
    assert answer.err.startswith("TrackingError:")
    assert not (outputs / "mlflow.db").exists()


def test_a_run_is_found_by_name_logged_and_reproduced(typed):
    trained = typed(app.main, *QUICK)
    assert trained.status == 0, trained.err
    name = "model=plain_3 regularization=none kernel_size=k3"
    assert "epoch 2/2" in typed(tool_box.main, "logs", name).out
    again = typed(tool_box.main, "reproduce", name)
    assert again.status == 0, again.err
    assert again.out.splitlines()[-1] == "bit-identical"
    assert "epoch 2/2" in typed(tool_box.main, "logs", f"{name} again").out
    assert again.err == ""
    elsewhere = typed(tool_box.main, "reproduce", name, "trainer.precision=bf16")
    assert elsewhere.status == 0, elsewhere.err
    assert elsewhere.out.splitlines()[-1].startswith("within tolerance: figures differ from epoch 1")
    assert "precision fp32 then, bf16 now" in elsewhere.out.splitlines()[-1]
    varied = typed(tool_box.main, "reproduce", name, "trainer.precision=bf16", "regularization=dropout")
    assert varied.status == 0, varied.err
    assert "changed trainer.precision: fp32 -> bf16" in varied.out
    assert "changed model.conv_dropout: 0.0 -> 0.25" in varied.out
    assert "train/accuracy: " in varied.out.splitlines()[-5]
    rows = json.loads(typed(tool_box.main, "results", "cifar_sweeps", "--json").out)
    assert [row["arm"] for row in rows if row["arm"].startswith("train_images=200")] == [row["arm"] for row in rows]
    assert len(rows) == 1  # what repeats a run is no arm of its own


def test_the_tracking_address_of_the_environment_is_respected(typed, outputs, tmp_path, monkeypatch):
    address = f"sqlite:///{tmp_path}/elsewhere.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert typed(app.main, *QUICK, "trainer.epochs=1").status == 0
    assert not (outputs / "mlflow.db").exists()
    client = MlflowClient(address)
    (run,) = client.search_runs([client.get_experiment_by_name("cifar_sweeps").experiment_id])
    assert run.info.status == "FINISHED"
