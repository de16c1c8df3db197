"""What Hydra is made to do holds with each version of it, whichever way it goes inside."""

import sys

import pytest
from hydra.experimental.callback import Callback
from omegaconf import OmegaConf

from cifar_sweeps import hydra_support
from cifar_sweeps.hydra_support import AbortHydra, hooks, hydra_application, initialized_compose

CONFIG = """
defaults: [_self_, {study: null}, {override hydra/job_logging: none}, {override hydra/hydra_logging: none}]
seed: 0
rates: [1]
hydra:
  run: {dir: %(folder)s/run}
  sweep: {dir: %(folder)s/sweep, subdir: "${hydra.job.num}"}
  output_subdir: null
  callbacks: {ours: {_target_: test_hydra_support.Told}}
"""
STUDY = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2'}}}\n"


class Told(Callback):
    """A callback that is handed an object of the command's."""

    told: list[str]

    def on_multirun_start(self, config, **kwargs):
        self.told.append("multirun")


@pytest.fixture
def app(tmp_path, monkeypatch):
    """Runs an application of two small files with these arguments; returns what its jobs were given."""
    conf = tmp_path / "conf"
    (conf / "study").mkdir(parents=True)
    (conf / "config.yaml").write_text(CONFIG % {"folder": tmp_path}, encoding="utf-8")
    (conf / "study" / "two.yaml").write_text(STUDY, encoding="utf-8")
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    seeds = []

    def task(config):
        seeds.append(config.seed)
        if config.seed == 666:
            raise ValueError("told by the job")

    def run(*arguments, **rules):
        monkeypatch.setattr(sys, "argv", ["app", *arguments])
        rules = {"check": lambda config: None, "allow_list": ["test_hydra_support.Told"], **rules}
        told = []

        def introduce(callback):
            callback.told = told

        with hooks(**{"on_callback": introduce, **rules}):
            hydra_application(task, conf)()
        return seeds, told

    return run


@pytest.mark.filterwarnings("error")
def test_a_file_may_say_that_it_is_a_sweep(app):
    assert app("study=two") == ([1, 2], ["multirun"])


@pytest.mark.filterwarnings("error")
def test_a_run_and_a_sweep_of_the_command_line(app):
    assert app("seed=3") == ([3], [])
    assert app("-m", "seed=4,5") == ([3, 4, 5], ["multirun"])


@pytest.mark.parametrize("arguments", [["seed=3"], ["-m", "seed=4,5"], ["study=two"], ["--cfg", "all"], ["--help"]])
def test_every_config_is_checked_before_anything_of_it_is_built(app, arguments):
    def check(config):
        assert config.hydra.callbacks.ours
        raise AbortHydra(None)

    def never(callback):
        raise AssertionError

    with pytest.raises(AbortHydra):
        app(*arguments, check=check, on_callback=never)


@pytest.mark.parametrize("arguments", [["seed=3"], ["-m", "seed=4,5"]])
def test_hydra_builds_only_what_is_listed_where_it_has_a_list(app, arguments):
    if hydra_support._whitelist is None:
        pytest.skip("Hydra 1.3 has none")
    with pytest.raises(Exception, match="not in the Hydra execution whitelist") as refused:
        app(*arguments, allow_list=["logging.FileHandler"])
    assert hydra_support.is_composition_error(refused.value)


def test_a_failed_job_writes_its_log_itself(app, tmp_path):
    with pytest.raises(ValueError, match="told by the job"):
        app("seed=666", "hydra/job_logging=default", f"hydra.job_logging.handlers.file.filename={tmp_path}/log")
    assert (tmp_path / "log").read_text(encoding="utf-8") == ""


def test_a_job_is_composed_by_the_rule(app):
    def compose(own, loader, master, lines):
        return own(loader, master, [*lines, "seed=7"] if lines == ["seed=5"] else lines)

    assert app("-m", "seed=4,5", compose=compose)[0] == [4, 7]


def test_an_override_of_ours_is_read_as_another_one_and_kept_as_it_was_typed(app):
    kept = []

    def check(config):
        kept.append(hydra_support.task_overrides(config.hydra))

    def stand_in(line):
        return "pair=choice(x)" if line == "pair=<1,2>" else None

    with pytest.raises(hydra_support.HydraException):
        app("-m", "pair=<1,2>", "seed=3")
    with pytest.raises(hydra_support.HydraException, match="pair"):  # Hydra's own sweeper does not know it
        app("-m", "pair=<1,2>", "seed=3", check=check, stand_in=stand_in)
    assert ["pair=<1,2>", "seed=3"] in kept


def test_a_method_that_hydra_no_longer_has_is_told():
    gone = hydra_support.patched(Told, "gone", lambda own: own)
    with pytest.raises(RuntimeError, match=r"has no Told\.gone"), gone:
        pass


def test_composing_within_a_command_leaves_it_its_own_hydra(tmp_path):
    from hydra import compose
    from hydra.core.global_hydra import GlobalHydra

    (tmp_path / "config.yaml").write_text("seed: 0", encoding="utf-8")
    with initialized_compose(tmp_path):
        outer = GlobalHydra.instance().hydra
        with initialized_compose(tmp_path):
            assert OmegaConf.to_container(compose("config", overrides=["seed=3"])) == {"seed": 3}
        assert GlobalHydra.instance().hydra is outer
    assert not GlobalHydra.instance().is_initialized()


def test_a_failed_return_gives_its_failure_and_no_value(capsys):
    done = hydra_support.failed_return(["seed=1"], OmegaConf.create(), ValueError("why"))
    with pytest.raises(ValueError, match="why"):
        _ = done.return_value
    assert str(hydra_support.job_error(done)) == "why"
    assert capsys.readouterr() == ("", "")
    finished = hydra_support.completed_return(["seed=1"], OmegaConf.create(), 0.5)
    assert (finished.return_value, hydra_support.job_error(finished)) == (0.5, None)
