"""What Hydra itself builds of a config: plugins and plain log files, and nothing that a config could smuggle in."""

import pytest
from hydra import compose
from hydra._internal.callbacks import Callbacks

from cifar_sweeps.config.hydra_targets import check_hydra_targets, hydra_allow_list
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.hydra_support import hooks, initialized_compose


def composed(folder, study: str):
    """Compose as ``cifar-train --config-dir FOLDER study=hostile`` does, with a study's file of this text."""
    (folder / "study").mkdir()
    (folder / "study" / "hostile.yaml").write_text(f"# @package _global_\n{study}", encoding="utf-8")
    search = f"hydra.searchpath=[file://{folder}]"
    with hooks(check=check_hydra_targets), initialized_compose(conf_folder()):
        return compose("config", overrides=[search, "study=hostile"], return_hydra_config=True)


HOSTILE = {
    "callback": "hydra: {callbacks: {x: {_target_: torch.load, f: x, weights_only: false}}}",
    "call": "hydra: {callbacks: {x: {_target_: hydra.utils.call}}}",
    "nested": "hydra: {callbacks: {parent: {x: [{_target_: torch.load}]}}}",
    "interpolated": "model: {_target_: torch.load}\nhydra: {callbacks: {x: '${model}'}}",
    "made on the way": "hydra: {callbacks: {x: '${oc.create:{_target_: torch.load}}'}}",
    "launcher": "hydra: {launcher: {_target_: subprocess.Popen}}",
    "alias of a plugin": "hydra: {launcher: {_target_: hydra_plugins.cifar_sweeps_launcher.sys.exit}}",
    "sweeper": "hydra: {sweeper: {_target_: torch.hub.load}}",
    "factory of a handler": "hydra: {job_logging: {handlers: {file: {(): os.getcwd}}}}",
    "alias in logging": "hydra: {job_logging: {handlers: {file: {class: logging.os.getcwd}}}}",
    "queue": "hydra: {hydra_logging: {handlers: {x: {class: logging.handlers.QueueHandler, queue: os.getcwd}}}}",
    "property": "hydra: {job_logging: {handlers: {file: {.: {namer: 'ext://os.system'}}}}}",
    "environment": "hydra: {job: {env_set: {CIFAR_SWEEPS_ALLOW_TARGETS: os}}}",
}


@pytest.mark.parametrize("study", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_study_cannot_have_hydra_run_code(tmp_path, study):
    with pytest.raises(ConfigError, match=r"not on the list|write the value itself|sets no environment"):
        composed(tmp_path, study)


def test_what_is_allowed_is_built(tmp_path):
    config = composed(tmp_path, "defaults: [{override /hydra/launcher: basic}]\nhydra: {launcher: {}}")
    with hooks(check=check_hydra_targets, allow_list=hydra_allow_list()):
        assert [type(callback).__name__ for callback in Callbacks(config).callbacks] == ["SweepCallback"]


def test_the_user_can_allow_more(tmp_path, monkeypatch):
    monkeypatch.setenv("CIFAR_SWEEPS_ALLOW_TARGETS", "mine")
    config = composed(tmp_path, "hydra: {callbacks: {x: {_target_: mine.Callback}}}")
    assert config.hydra.callbacks.x._target_ == "mine.Callback"
