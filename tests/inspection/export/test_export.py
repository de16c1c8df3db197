"""Exported files predict as the run's network does on every test image, say what they are, and are refused if not."""

import copy
import dataclasses
import json
import sys

import mlflow
import numpy as np
import pytest
import torch
from conftest import TINY
from torch import nn

import cifar_sweeps
from cifar_sweeps.analysis.mlflow_model import ServableClassifier
from cifar_sweeps.cli import main as cli
from cifar_sweeps.errors import ConfigError, TrackingError
from cifar_sweeps.inspection.export import formats
from cifar_sweeps.inspection.export.exporting import export
from cifar_sweeps.inspection.export.formats import export_format
from cifar_sweeps.models import mobilenet_v2, resnet18, transfer_vgg16
from cifar_sweeps.models.small_resnet import SmallResNet
from cifar_sweeps.runs.trained_run import TrainedRun, open_trained_run
from cifar_sweeps.tracking.store import Store

onnxruntime = pytest.importorskip("onnxruntime")

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
BOTH = pytest.mark.parametrize("name", ["onnx", "torch"])


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("trained") / "outputs"
    overrides = ["data.source.train_images=200", "data.source.test_images=600", f"data.mean={list(MEAN)}"]
    overrides += [
        f"data.std={list(STD)}",
        "model=lenet_3",
        "model.blocks=[{filters: [4], batch_norm: true}]",
        "model.dense=[8]",
    ]
    overrides += ["trainer.precision=fp32", "trainer.threads=1", "trainer.epochs=1", f"outputs={outputs}"]
    overrides += ["analysis.pictures=false", "analysis.log_model=false"]
    cifar_sweeps.run(cifar_sweeps.compose(overrides), name="small", progress=False)
    return Store.open(outputs)


@pytest.fixture(scope="module")
def loaded(store):
    run = open_trained_run("small", store)
    assert len(run.images.test) == 600
    assert not run.net.training
    return run


@pytest.fixture
def run(loaded):
    """The run with its network and images, of which a test may change what it likes."""
    return copy.copy(loaded)


def by_hand(net, pixels):
    scaled = (torch.from_numpy(pixels).float() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(
        3, 1, 1
    )
    with torch.no_grad():
        return net(scaled).softmax(dim=1).numpy()


def pixels(count, side=32):
    drawn = np.random.default_rng(0)
    colours = drawn.integers(0, 256, (count, 3, 1, 1))  # noise alone looks the same to a net that averages
    return np.clip(colours + drawn.normal(0, 30, (count, 3, side, side)), 0, 255).astype(np.uint8)


def short_mobilenet():
    """Its stem and the first blocks of each kind: what the others repeat."""
    net = mobilenet_v2(num_classes=4)
    net.features = net.features[:4]
    net.classifier = nn.Linear(24, 4)
    return net


def short_resnet18():
    """A plain stage, and one with a branch that shares its input: of which the exporter's optimizer made nonsense."""
    net = resnet18(num_classes=4)
    net.layer3, net.layer4, net.fc = nn.Identity(), nn.Identity(), nn.Linear(128, 4)
    return net


def transfer_net():
    return transfer_vgg16(cut="block1_pool", weights="none", num_classes=4)


def as_if_trained(net):
    """Give each batch norm weights of its own, and the statistics of some images."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in norms:
        module.weight.data.uniform_(0.5, 1.5)
        module.bias.data.uniform_(-0.5, 0.5)
        module.momentum = None  # the mean over all batches: of the only one
    by_hand(net.train(), pixels(16))
    return net.eval()


@pytest.mark.slow
@pytest.mark.parametrize("build", [SmallResNet, short_resnet18, short_mobilenet, transfer_net])
def test_every_other_family_is_exported_for_any_batch_size(tmp_path, build):
    torch.manual_seed(0)
    net = as_if_trained(build(**({"num_classes": 4} if build is SmallResNet else {})))
    how, path = export_format("onnx", None), tmp_path / "model.onnx"
    how.write(ServableClassifier(net, MEAN, STD), torch.from_numpy(pixels(2)), path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for count in (1, 2, 7):
        (found,) = session.run(None, {"pixels": pixels(count)})
        np.testing.assert_allclose(found, by_hand(net, pixels(count)), atol=1e-5)
    assert by_hand(net, pixels(7)).std(axis=0).max() > 0.01  # the images are told apart


@BOTH
def test_the_file_predicts_as_the_network_and_the_agreement_is_recorded(run, store, tmp_path, name):
    how = export_format(name, None)
    done = export(run, how)
    assert done.path.parent == run.folder / "export"
    for count in (1, 2, 7, 30):
        np.testing.assert_allclose(how.load(done.path)(pixels(count)), by_hand(run.net, pixels(count)), atol=1e-5)
    assert (done.agreement.images, done.agreement.equal, done.agreement.holds) == (600, 600, True)

    beside = json.loads(done.record.read_text())
    assert beside["agreement"]["images"] == beside["agreement"]["same_class"] == 600
    assert beside["agreement"]["largest_difference"] == done.agreement.largest
    assert beside["classes"] == list(run.classes)
    assert beside["scaling"] == {
        "within": "the model",
        "divided_by": 255,
        "mean": list(MEAN),
        "std": list(STD),
        "whitening": None,
    }
    assert beside["test_accuracy"]["exported"] == run.record.metrics["test/accuracy"]
    assert beside["versions"]["torch"] == torch.__version__.split("+")[0]
    within = {key: json.loads(text) for key, text in formats.read_metadata(done.path).items()}
    assert within == beside

    recorded = store.client().get_run(run.record.run_id)
    assert recorded.data.tags[f"cifar_sweeps.export.{name}"].startswith("600 of 600 images get the same class")
    kept = {entry.path for entry in store.client().list_artifacts(run.record.run_id, "export")}
    assert kept >= {f"export/{done.path.name}", f"export/{done.path.name}.json"}


def other_weights(net, example, path, how):
    net.net.head[-1].bias.data[0] += 0.01
    how.write(net, example, path)


def other_scaling(net, example, path, how):
    how.write(ServableClassifier(net.net, None, None), example, path)


def not_finite(net, example, path, how):
    next(iter(net.net.parameters())).data.fill_(float("nan"))
    how.write(net, example, path)


@pytest.mark.parametrize(
    ("name", "fault"),
    [("onnx", other_weights), ("torch", other_weights), ("torch", other_scaling), ("torch", not_finite)],
)
def test_a_wrong_export_is_refused(run, store, tmp_path, name, fault):
    how = export_format(name, None)
    broken = dataclasses.replace(how, write=lambda net, example, path: fault(net, example, path, how))
    out = tmp_path / f"model{how.ending}"
    out.write_text("an earlier one")
    store.client().set_tag(run.record.run_id, f"cifar_sweeps.export.{name}", "earlier")
    with pytest.raises(TrackingError, match=r"is refused, and was not kept.*of 600 images get the same class"):
        export(run, broken, out)
    assert out.read_text() == "an earlier one"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert store.client().get_run(run.record.run_id).data.tags[f"cifar_sweeps.export.{name}"] == "earlier"


def test_a_file_that_is_wrong_in_some_batch_size_is_refused(run, tmp_path):
    how = export_format("torch", None)

    def load(path):
        predict = how.load(path)
        return lambda images: predict(images) if len(images) != 7 else predict(images)[::-1].copy()

    with pytest.raises(TrackingError, match="in a batch of 7, "):
        export(run, dataclasses.replace(how, load=load), tmp_path / "model.pt2")
    assert list(tmp_path.iterdir()) == []


def test_an_exporter_that_fails_is_one_error(run, tmp_path):
    def write(net, example, path):
        path.write_text("half")
        raise RuntimeError("no such operator")

    broken = dataclasses.replace(export_format("onnx", None), write=write)
    with pytest.raises(TrackingError, match=r"no such operator\); nothing was written; .*or --format torch"):
        export(run, broken, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_written_costs_only_the_record(run, tmp_path, monkeypatch):
    class Closed:
        def __getattr__(self, _name):
            raise OSError("read-only")

    how = export_format("torch", None)
    monkeypatch.setattr(TrainedRun, "tested_epoch", 1)
    monkeypatch.setattr(Store, "client", lambda _self: Closed())
    done = export(run, how, tmp_path / "model.pt2")
    assert done.path.is_file()
    assert done.record.is_file()
    assert "the store cannot be written" in done.notes[-1]


@pytest.mark.parametrize(
    ("name", "out", "message"),
    [
        (None, None, "--format is missing: must be onnx, torch or mlflow"),
        (None, "model.bin", "--format is missing"),
        ("tflite", None, "--format tflite: must be onnx, torch or mlflow"),
        ("torch", "model.onnx", "contradict each other; end the name in .pt2"),
    ],
)
def test_a_format_that_is_unclear_is_one_error(tmp_path, name, out, message):
    with pytest.raises(ConfigError, match=message):
        export_format(name, None if out is None else tmp_path / out)


def test_the_ending_says_the_format(tmp_path):
    assert export_format(None, tmp_path / "model.ONNX").name == "onnx"
    assert export_format(None, tmp_path / "model.pt2").name == "torch"
    assert export_format("torch", tmp_path / "model.bin").name == "torch"


@pytest.mark.parametrize(
    ("out", "message"), [("", "is a folder; name a file"), ("none/model.onnx", "there is no folder")]
)
def test_a_place_that_cannot_be_written_is_one_error(run, tmp_path, out, message):
    with pytest.raises(ConfigError, match=message):
        export(run, export_format("onnx", None), tmp_path / out)


def test_without_the_extra_the_command_says_what_to_install(store, monkeypatch):
    monkeypatch.setattr(cli, "prepare", lambda _report: [])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr(sys, "argv", ["cifar-sweeps", "export", "small", "--format", "onnx"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert str(end.value.code).startswith("ConfigError: --format onnx: needs the package onnxruntime")
    assert "pip install 'cifar-sweeps[onnx]', or use --format torch" in str(end.value.code)


def test_the_command_prints_the_agreement_and_the_files(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cli, "prepare", lambda _report: [])
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(store.outputs))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "argv", ["cifar-sweeps", "export", "small", "--out", str(tmp_path / "model.pt2")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    done = capsys.readouterr()
    assert not end.value.code
    assert done.err == ""
    assert "600 of 600 images get the same class" in done.out
    assert f"Model: {tmp_path / 'model.pt2'}\n" in done.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt2", "model.pt2.json"]


def loaded_as_told(printed):
    """Return the model that the printed lines load, as they stand."""
    typed = dict[str, object]()
    try:
        exec(printed.partition("Load it, in Python:\n")[2], typed)
        return typed["model"]
    finally:
        mlflow.set_tracking_uri(None)  # what the environment says again


def test_the_model_for_mlflow_is_logged_into_a_run_that_has_none_and_registered_from_there(store, capsys, monkeypatch):
    monkeypatch.setattr(cli, "prepare", lambda _report: [])
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(store.outputs))
    run = store.find_run("small")

    def note():
        return store.client().get_run(run.run_id).data.tags["mlflow.note.content"]

    def cifar_sweeps_command(*arguments):
        monkeypatch.setattr(sys, "argv", ["cifar-sweeps", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code, capsys.readouterr().err
        return capsys.readouterr().out

    assert f"cifar-sweeps export --format mlflow {run.run_id}` makes it" in note()
    monkeypatch.setattr(sys, "argv", ["cifar-sweeps", "export", "small", "--format", "mlflow", "--out", "model"])
    with pytest.raises(SystemExit, match="--out model: belongs to onnx and torch"):
        cli.main()
    printed = cifar_sweeps_command("export", run.run_id[:8], "--format", "mlflow")
    assert "600 of 600 images get the same class" in printed
    uri = f"runs:/{run.run_id}/model"
    assert f'mlflow.pyfunc.load_model("{uri}")' in printed
    assert f'mlflow.pyfunc.load_model("{uri}")' in note()
    assert "makes it" not in note()
    printed = cifar_sweeps_command("export", "small", "--format", "mlflow")
    assert "has its model in the store already" in printed
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert loaded_as_told(printed).predict(pixels(3)).shape == (3, 10)


def test_a_run_without_a_model_gets_one_when_it_is_registered(store, capsys, monkeypatch):
    overrides = ["trainer.epochs=1", "analysis=none", f"outputs={store.outputs}", *TINY]
    result = cifar_sweeps.run(cifar_sweeps.compose(overrides), name="without", progress=False)
    monkeypatch.setattr(cli, "prepare", lambda _report: [])
    monkeypatch.setenv("CIFAR_SWEEPS_OUTPUTS", str(store.outputs))
    for said in ("has no model in the store yet; it is made from its weights", "is the model of run"):
        monkeypatch.setattr(sys, "argv", ["cifar-sweeps", "register", result.run_id, "--name", "shapes"])
        with pytest.raises(SystemExit):
            cli.main()
        assert said in capsys.readouterr().out
