import os

import pytest
import torch
import torchvision

from cifar_sweeps import compose
from cifar_sweeps.config.build import build, check_config, outline_model, summarize_model
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.config.targets import resolve
from cifar_sweeps.errors import ConfigError


def test_builds_nested_targets_with_their_arguments():
    schedule = build({"_target_": "cifar_sweeps.training.schedules.Step", "milestones": [2], "gamma": 0.5}, "x")
    assert [schedule.factor(epoch) for epoch in (0, 2)] == [1.0, 0.5]


def test_partial_binds_arguments_without_calling():
    factory = build({"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.5}, "optimizer")
    optimizer = factory([torch.nn.Parameter(torch.zeros(1))])
    assert optimizer.param_groups[0]["lr"] == 0.5


@pytest.mark.parametrize(
    "node",
    [
        pytest.param({"_target_": "os.system", "_args_": ["true"]}, id="os"),
        pytest.param({"_target_": "torch.load", "f": "x"}, id="torch.load"),
        pytest.param({"_target_": "torch.hub.load"}, id="torch.hub"),
        pytest.param({"_target_": "torch.optimised.X"}, id="prefix without a dot"),
        pytest.param({"_target_": "cifar_sweeps.config.build.os.system", "_args_": ["true"]}, id="not a listed module"),
        pytest.param({"_target_": "cifar_sweeps.data.folder_layout.os.system"}, id="alias through a module"),
        pytest.param({"_target_": "cifar_sweeps.training.checkpoint_file.torch.load"}, id="alias of torch.load"),
        pytest.param({"_target_": "torch.optim.sgd.torch.hub.load"}, id="alias through torch.optim"),
        pytest.param({"_target_": 7}, id="not a name"),
        pytest.param({"_target_": "torchvision.models._api.fnmatch.os.system"}, id="alias through many modules"),
        pytest.param({"_target_": "torchvision.models._api.sys.exit"}, id="alias through a private module"),
        pytest.param({"_target_": "torchvision.models.get_model", "name": "resnet18"}, id="a builder by name"),
        pytest.param({"_target_": "torchvision.models.ResNet.forward"}, id="a method"),
        pytest.param({"_target_": "torch.optim.SGD.step"}, id="a method of an optimizer"),
        pytest.param({"_target_": "torch.optim.lr_scheduler.LambdaLR"}, id="no optimizer"),
        pytest.param({"_target_": "torchvision.models.feature_extraction.create_feature_extractor"}, id="a tracer"),
        pytest.param({"_target_": "cifar_sweeps.training.checkpoint_file.save", "path": "/x"}, id="a writer of files"),
        pytest.param({"_target_": "cifar_sweeps.training.checkpoint_file.load", "path": "/x"}, id="a reader of files"),
        pytest.param({"_target_": "cifar_sweeps.models.pretrained.weights_file._download"}, id="a private function"),
        pytest.param(
            {"_target_": "cifar_sweeps.models.pretrained.weights_file.WeightsFile"}, id="a class of another kind"
        ),
        pytest.param({"_target_": "cifar_sweeps.data.cache.cached_dataset"}, id="a function that the loaders use"),
        pytest.param(
            {"_target_": "torch.optim.SGD", "params": {"_target_": "builtins.eval", "_args_": ["1"]}}, id="nested"
        ),
        pytest.param({"_target_": "torch.optim.SGD", "_args_": [{"_target_": "builtins.eval"}]}, id="nested in _args_"),
    ],
)
def test_a_target_outside_the_allow_list_is_refused(node):
    with pytest.raises(ConfigError, match="not on the list of what a config may build"):
        build(node, "model")


class _Hostile:
    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return os.mkdir, (str(self._path),)


def test_torchvision_downloads_and_unpickles_nothing(tmp_path):
    torch.save({"weights": _Hostile(tmp_path / "was_run")}, tmp_path / "hostile.pth")
    entry = {"url": (tmp_path / "hostile.pth").as_uri(), "transforms": None, "meta": {}}
    node = {
        "_target_": "torchvision.models._api.WeightsEnum.get_state_dict",
        "self": {"_target_": "torchvision.models._api.Weights", **entry},
        "model_dir": str(tmp_path),
    }
    with pytest.raises(ConfigError, match="not on the list of what a config may build"):
        build(node, "model")
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("arguments", [{"weights": "DEFAULT"}, {"pretrained": True}, {"_args_": [True]}], ids=str)
def test_torchvisions_own_weights_are_refused(arguments, monkeypatch):
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("fetches"))
    with pytest.raises(ConfigError, match="torchvision's pretrained weights are not loaded"):
        build({"_target_": "torchvision.models.mobilenet_v3_small", **arguments}, "model")


def test_torchvisions_classifiers_are_built_by_either_name():
    for target in ("torchvision.models.squeezenet1_1", "torchvision.models.squeezenet.squeezenet1_1"):
        built = build({"_target_": target, "num_classes": 3}, "model")
        assert isinstance(built, torchvision.models.SqueezeNet)


def test_every_target_of_the_shipped_configs_is_allowed():
    lines = [line for path in conf_folder().rglob("*.yaml") for line in path.read_text(encoding="utf-8").splitlines()]
    targets = {line.split("_target_:")[1].partition("#")[0].strip() for line in lines if "_target_:" in line}
    for target in targets - {
        "cifar_sweeps.sweeps.callback.SweepCallback",
        "hydra_plugins.cifar_sweeps_launcher.LocalLauncher",
        "hydra_plugins.cifar_sweeps_slurm.SlurmLauncher",
        "hydra_plugins.cifar_sweeps_ray.RayLauncher",
        "hydra_plugins.cifar_sweeps_sweeper.GridSweeper",
        "hydra_plugins.cifar_sweeps_optuna.OptunaSweeper",
    }:
        assert callable(resolve(target, "key"))


@pytest.mark.parametrize(
    "target", ["torch.optim.\0", "torch.optim..Adam", "torch.optim.Adam\n", "torch.optim.", "torch.optim. "]
)
def test_an_invalid_name_is_an_error(target):
    with pytest.raises(ConfigError, match="is not the name of a class"):
        build({"_target_": target}, "model")


def test_any_exception_of_a_target_becomes_one_config_error(monkeypatch):
    monkeypatch.setenv("CIFAR_SWEEPS_ALLOW_TARGETS", "fractions")
    with pytest.raises(ConfigError, match="refuses its arguments: ZeroDivisionError"):
        build({"_target_": "fractions.Fraction", "_args_": [1, 0]}, "model")


def test_the_environment_can_allow_more(monkeypatch):
    monkeypatch.setenv("CIFAR_SWEEPS_ALLOW_TARGETS", "fractions, somewhere.else")
    assert build({"_target_": "fractions.Fraction", "_args_": [1, 2]}, "model") * 2 == 1


@pytest.mark.parametrize(
    ("node", "message"),
    [
        pytest.param({"_target_": "torch.optim.Adan"}, "did you mean 'Adam'", id="misspelt class"),
        pytest.param({"_target_": "torch.optim.SGD", "momentun": 0.9}, "did you mean 'momentum'", id="misspelt key"),
        pytest.param({"_target_": "torch.optim"}, "is a module", id="a module"),
        pytest.param({"_target_": "cifar_sweeps.models.nothing.X"}, "has no 'nothing'", id="no such module"),
        pytest.param(
            {"_target_": "torch.optim.SGD", "_args_": [[]], "lr": -1}, "refuses its arguments", id="refused value"
        ),
    ],
)
def test_an_error_names_the_key_and_what_to_do(node, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(node, "optimizer")
    assert str(caught.value).startswith("optimizer")


MODELS = sorted(path.stem for path in (conf_folder() / "model").glob("*.yaml"))


@pytest.mark.parametrize("size", [[32, 48], [20, 33], [9, 64]], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_each_model_takes_images_that_are_not_square_or_says_what_it_takes(name, size):
    config = compose([f"model={name}", f"data.image_size=[{size[0]},{size[1]}]"])
    try:
        told = "" if check_config(config, download=False).parameters > 0 else "no parameters"
    except ConfigError as error:
        told = str(error)
    assert not told or "image_size" in told or f"the {min(size)} pixels of a side" in told


OWN_NETS = """
from torch import nn


class Scaled(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Flatten(), nn.Linear(3 * 32 * 32, num_classes))
        self.first = float(self[1].weight[0, 0])


class Lazy(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(nn.Flatten(), nn.LazyLinear(num_classes))
"""


@pytest.mark.parametrize("name", ["Scaled", "Lazy"])
def test_a_net_of_the_users_that_reads_its_weights_or_waits_for_images_has_its_parameters_outlined(
    name, tmp_path, monkeypatch
):
    (tmp_path / "outlined_nets.py").write_text(OWN_NETS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CIFAR_SWEEPS_ALLOW_TARGETS", "outlined_nets")
    conf = tmp_path / "conf" / "model"
    conf.mkdir(parents=True)
    (conf / "own.yaml").write_text(f"_target_: outlined_nets.{name}\nnum_classes: 10\n", encoding="utf-8")
    config = compose(["model=own"], conf.parent)
    outline = outline_model(config)
    assert (outline.parameters, outline.needs_download) == (30_730, False)
    assert summarize_model(config).parameters == 30_730
