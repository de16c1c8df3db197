"""The commands `cifar-train` and `cifar-sweeps`: output, errors and exit status."""

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
from cifar_sweeps.cli import main as cli
from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.errors import CifarSweepsError
from cifar_sweeps.sweeps import command

QUICK = (*TINY, "analysis.log_model=false", "analysis.pictures=false")


class Completed(NamedTuple):
    status: object
    out: str
    err: str


@pytest.fixture
def run_command(monkeypatch):
    """Run a command's entry point in this process, which has imported torch already."""
    for module in (cli, command):
        monkeypatch.setattr(module, "prepare", lambda _report: [])  # it prepares a whole process

    def run(main, *arguments: str) -> Completed:
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
            return Completed(1, out.getvalue(), err.getvalue() + status)
        return Completed(status or 0, out.getvalue(), err.getvalue())

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


def test_an_error_is_one_message_without_a_traceback(run_command, outputs):
    done = run_command(app.main, "trainer.batch_size=0", "optimizer.lr=nan")
    assert done.status == 1
    assert done.err.startswith("ConfigError:")
    assert "trainer.batch_size=0: must be at least 1" in done.err
    assert "optimizer.lr=nan: must be a finite number above 0" in done.err
    assert "Traceback" not in done.err
    assert "Error executing job" not in done.err
    assert not (outputs / "mlflow.db").exists()


def test_the_multirun_flag_may_follow_an_override(run_command):
    done = run_command(app.main, "seed=0", "-m", "lr=0.1")
    assert done.status == 1
    assert "lr: unknown key" in done.err
    assert "did you mean 'optimizer.lr'?" in done.err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=0,1", "seed=0,1: is several values; add -m to sweep over them"),
        ("experiment=base_cnn/bse", "experiment=base_cnn/bse: unknown option; did you mean 'base_cnn/base'?"),
        ("data.split=first", "data.split=first: must be 'stratified' or 'tail' or 'batch_1' or 'fold'"),
    ],
)
def test_a_mistyped_override_gets_a_suggestion(run_command, override, message):
    done = run_command(app.main, override)
    assert done.status == 1
    assert done.err.strip() == f"ConfigError: {message}{done.err.strip().partition(message)[2]}"


def test_hydra_full_error_shows_the_traceback(run_command, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    done = run_command(app.main, "trainer.batch_size=0")
    assert done.status == 1
    assert "Traceback" in done.err


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


def test_outputs_that_cannot_be_written_are_an_error(run_command, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(tmp_path / "file" / "below"))
    done = run_command(app.main, *QUICK)
    assert done.status == 1
    assert done.err.startswith("ConfigError: outputs:")
    assert str(tmp_path / "file") in done.err
    assert "Traceback" not in done.err


def test_a_diverging_run_fails_with_epoch_and_step(run_command):
    done = run_command(app.main, *QUICK, "optimizer=sgd", "optimizer.lr=1e30", "tracking=none")
    assert done.status == 1
    assert "the training diverged" in done.err
    assert "at epoch 1, step" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("columns", ["80", "120"])
def test_summary_counts_layers_parameters_and_multiply_adds(run_command, monkeypatch, columns):
    monkeypatch.setitem(os.environ, "COLUMNS", columns)
    done = run_command(cli.main, "summary", "model=lenet_3", "kernel_size=k3_5")
    assert done.status == 0
    assert "1,668,906" in done.out
    assert "73,241,600" in done.out


def test_data_prints_a_summary_and_writes_a_page_without_a_store(run_command, outputs):
    done = run_command(cli.main, "data", "data.source.train_images=100", "data.source.test_images=40")
    assert done.status == 0, done.err
    assert done.out.startswith("synthetic: 32×32 pixels, 10 classes\n")
    assert "'data.mean=[" in done.out
    (page,) = (outputs / "reports").glob("data-synthetic-*.html")
    assert f"Page: {page}" in done.out.splitlines()
    assert not (outputs / "mlflow.db").exists()
    assert not (outputs / "runs").exists()


@pytest.mark.parametrize(
    "arguments", [("ui",), ("logs", "x"), ("reproduce", "x"), ("extend", "x", "trainer.epochs=3")], ids=" ".join
)
def test_commands_without_a_store_say_what_to_do(run_command, arguments, outputs):
    done = run_command(cli.main, *arguments)
    assert done.status == 1
    assert done.err.startswith("TrackingError:")
    assert not (outputs / "mlflow.db").exists()


def test_a_run_is_found_by_name_logged_and_reproduced(run_command):
    trained = run_command(app.main, *QUICK)
    assert trained.status == 0, trained.err
    name = "model=plain_3 regularization=none kernel_size=k3"
    assert "epoch 2/2" in run_command(cli.main, "logs", name).out
    again = run_command(cli.main, "reproduce", name)
    assert again.status == 0, again.err
    assert again.out.splitlines()[-1] == "bit-identical"
    assert "epoch 2/2" in run_command(cli.main, "logs", f"{name} again").out
    assert again.err == ""
    elsewhere = run_command(cli.main, "reproduce", name, "trainer.precision=bf16")
    assert elsewhere.status == 0, elsewhere.err
    assert elsewhere.out.splitlines()[-1].startswith("within tolerance: metrics differ from epoch 1")
    assert "precision fp32 then, bf16 now" in elsewhere.out.splitlines()[-1]
    varied = run_command(cli.main, "reproduce", name, "trainer.precision=bf16", "regularization=dropout")
    assert varied.status == 0, varied.err
    assert "changed trainer.precision: fp32 -> bf16" in varied.out
    assert "changed model.conv_dropout: 0.0 -> 0.25" in varied.out
    assert "train/accuracy: " in varied.out.splitlines()[-5]
    rows = json.loads(run_command(cli.main, "results", "cifar_sweeps", "--json").out)
    assert [row["arm"] for row in rows if row["arm"].startswith("train_images=200")] == [row["arm"] for row in rows]
    assert len(rows) == 1  # a reproduction is not an arm


def test_a_run_is_made_longer_and_is_the_arm_of_its_length(run_command):
    assert run_command(app.main, *QUICK).status == 0
    name = "model=plain_3 regularization=none kernel_size=k3"
    refused = run_command(cli.main, "extend", name, "optimizer.lr=0.1")
    assert refused.status == 1
    assert refused.err.startswith("ConfigError: optimizer.lr=0.1: extend changes only how long a run is")
    done = run_command(cli.main, "extend", name, "trainer.epochs=3")
    assert done.status == 0, done.err
    assert done.err == ""
    assert "Resumes after epoch 2: the same, to the bit, as 3 epochs at once" in done.out
    assert "epoch 2/3" not in done.out
    assert "epoch 3/3" in done.out
    again = run_command(cli.main, "reproduce", f"{name} extended to 3 epochs")
    assert (again.status, again.out.splitlines()[-1]) == (0, "bit-identical"), again.err
    assert run_command(app.main, *QUICK, "trainer.epochs=3").status == 0
    rows = json.loads(run_command(cli.main, "results", "cifar_sweeps", "--json").out)
    arms = {}
    for row in rows:
        arms.setdefault(row["arm"], []).append(row["name"])
    assert sorted(map(sorted, arms.values())) == [[name], [name, f"{name} extended to 3 epochs"]]


def test_the_tracking_uri_of_the_environment_is_respected(run_command, outputs, tmp_path, monkeypatch):
    address = f"sqlite:///{tmp_path}/elsewhere.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert run_command(app.main, *QUICK, "trainer.epochs=1").status == 0
    assert not (outputs / "mlflow.db").exists()
    client = MlflowClient(address)
    (run,) = client.search_runs([client.get_experiment_by_name("cifar_sweeps").experiment_id])
    assert run.info.status == "FINISHED"
