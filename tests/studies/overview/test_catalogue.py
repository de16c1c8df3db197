"""`cifar-sweeps studies`: what it says of a study's file and of an arm's published figures, at any width."""

import io

import pytest
from rich.console import Console

from cifar_sweeps.config.compose import compose
from cifar_sweeps.studies.overview.catalogue import _description, _published_result, catalogue
from cifar_sweeps.studies.reports.terminal_tables import print_catalogue


@pytest.mark.parametrize(
    ("experiment", "shown"),
    [
        ("case_study/model_1", "validation accuracy 0.6946 after 10 epochs"),
        ("lenet_report/l2_0", "validation accuracy 0.682 after 125 epochs"),
        ("base_cnn/base", "test accuracy 0.6603 or 0.6327 or 0.655"),
        ("keras_lesson/resnet18", "accuracy on augmented test images 0.7786 after 12 epochs"),
        ("lenet_report/l2_5e-2", ""),
    ],
)
def test_the_published_figure_is_named_in_words_with_its_epoch(experiment, shown):
    assert _published_result(compose([f"experiment={experiment}"])) == shown


def test_a_study_is_described_by_the_first_paragraph_of_its_comment(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("# @package _global_\n# What it asks,\n# in two lines.\n#\n# A remark.\nstudy_name: mine\n# more\n")
    assert _description(path) == "What it asks, in two lines."
    path.write_text("study_name: mine\n")
    assert _description(path) == ""


@pytest.fixture(scope="module")
def listed():
    return catalogue(["improvements", "transfer"])


@pytest.mark.parametrize("width", [80, 120])
def test_names_and_figures_stay_whole_in_a_narrow_terminal(listed, width):
    text = io.StringIO()
    print_catalogue(listed, Console(file=text, width=width, highlight=False))
    lines = text.getvalue().splitlines()
    assert lines[0].startswith("improvements: Document 003's own list")
    assert max(len(line.rstrip()) for line in lines if "cifar-train" not in line) <= width
    words = text.getvalue().split()
    for whole in (
        "lab_episode/improvements/activation_leaky_relu",
        "accuracy",
        "0.7777",
        "'cifar-sweeps[pretrained]')",
    ):
        assert whole in words


@pytest.mark.parametrize(("given", "runs"), [("    n_trials: 7\n", 7), ("", 20)], ids=["given", "usual"])
def test_a_study_that_searches_has_as_many_runs_as_trials_at_most(tmp_path, given, runs):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /hydra/sweeper: optuna\nhydra:\n  mode: MULTIRUN\n  sweeper:\n"
        f"{given}    params:\n      optimizer: adam,sgd\n      optimizer.lr: tag(log,interval(1e-4,1e-1))\n"
    )
    [found] = list(catalogue(["mine"], tmp_path))
    assert (found.runs, found.is_most) == (runs, True)
    assert found.swept["optimizer.lr"] == "tag(log,interval(1e-4,1e-1))"
