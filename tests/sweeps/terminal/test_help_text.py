"""`cifar-train --help`: every key of every option has a meaning; fitted to the terminal."""

import io
import sys
from contextlib import redirect_stdout

import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from cifar_sweeps import app
from cifar_sweeps.config.compose import compose_node
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.sweeps.terminal.help_text import comments, describe_option, help_text, leaves, meaning

GROUPS = ("data", "augmentation", "model", "kernel_size", "regularization", "optimizer", "lr_schedule", "trainer")
OPTIONS = [
    (group, path.stem)
    for group in (*GROUPS, "budget", "tracking")
    for path in sorted((conf_folder() / group).glob("*.yaml"))
]


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda value: value)
def test_every_key_of_every_option_has_a_meaning(group, option):
    node = OmegaConf.to_container(OmegaConf.load(conf_folder() / group / f"{option}.yaml"), resolve=False)
    node.pop("defaults", None)
    folders = [conf_folder()]
    without = [key for key, value in leaves({group: node}) if not meaning(key, value, {group: option}, folders)]
    assert not without
    assert describe_option(folders, group, option) or group in ("trainer", "tracking")


def test_every_key_of_the_main_file_has_a_meaning():
    node = OmegaConf.to_container(compose_node([]), resolve=False)
    kept = {key: value for key, value in node.items() if not (conf_folder() / key).is_dir()}
    assert not [key for key, value in leaves(kept) if not meaning(key, value, {}, [conf_folder()])]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_help_fits_the_terminal(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    config = compose_node(["model=lenet_3", "optimizer=sgd"])
    choices = {"model": "lenet_3", "optimizer": "sgd"}
    text = help_text(config, choices, {"model": ["lenet_3"] * 30}, [conf_folder()])
    long = [line for line in text.splitlines() if len(line) > min(width, 100)]
    assert all(" " not in line.strip() for line in long)  # one word, which is not broken
    assert "optimizer.momentum=0.9" in text


def test_the_command_shows_the_chosen_options_with_their_meanings(monkeypatch, tmp_path):
    (tmp_path / "optimizer").mkdir()
    own = "# My own optimizer.\n_target_: torch.optim.SGD\n_partial_: true\nlr: 0.5  # my own rate\n"
    (tmp_path / "optimizer" / "mine.yaml").write_text(own)
    GlobalHydra.instance().clear()
    arguments = ["--config-dir", str(tmp_path), "model=lenet_3", "optimizer=mine", "--help"]
    monkeypatch.setattr(sys, "argv", ["cifar-train", *arguments])
    monkeypatch.setenv("COLUMNS", "80")
    out = io.StringIO()
    with redirect_stdout(out), pytest.raises(SystemExit) as end:
        app.main()
    assert not end.value.code
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    for line in ("optimizer=mine: My own optimizer.", "optimizer: adam, adamax, adamw, mine, rmsprop, sgd"):
        assert line in text
    assert "optimizer.lr=0.5                my own rate" in text


@pytest.mark.parametrize("group", ["hydra/launcher", "hydra/sweeper"])
def test_every_key_of_a_launcher_or_sweeper_is_shown_with_its_meaning(group):
    for path in (conf_folder() / group).glob("*.yaml"):
        text = help_text(compose_node([]), {group: path.stem}, {}, [conf_folder()])
        for key in yaml.safe_load(path.read_text()):
            if key not in ("defaults", "_target_"):
                start = text.index(f"{group.replace('/', '.')}.{key}=")
                shown = text[start:].splitlines()
                assert len(shown[0].split()) > 1 or shown[1].startswith(" " * 30), key


def test_the_help_of_a_sweep_leaves_its_values_out(monkeypatch, capsys):
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", ["cifar-train", "model=lenet_3", "seed=0,1", "-m", "-h"])
    with pytest.raises(SystemExit) as end:
        app.main()
    assert not end.value.code
    assert "model=lenet_3: " in capsys.readouterr().out


def test_comments_are_read_by_dotted_key(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "# @package _global_\n# First.\n# Second.\na:  # of a\n  b: 1 # of b\n  c: 'x#y'\n"
        "d: 2\n# not the head\ne: 3   # of e\n"
    )
    assert comments(tmp_path / "x.yaml") == {"": "First. Second.", "a": "of a", "a.b": "of b", "e": "of e"}
