"""conf/experiment and conf/study: every arm builds and trains as its document describes; every study is complete."""

import pytest
import torch
from conftest import TINY

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose, compose_all
from cifar_sweeps.runs.run import run
from cifar_sweeps.studies.overview.catalogue import catalogue, experiments

COUNTS = {
    "keras_lesson/conv_pairs": 276_138,
    "case_study/model_1": 2_105_066,
    "case_study/model_2": 2_105_066,
    "case_study/model_3": 1_084_234,
    "lenet_report/model_1": 2_233_898,
    "lenet_report/model_2": 2_233_898,
    "lenet_report/model_3": 1_668_906,
    "lenet_report/l2_0": 1_668_906,
    "lenet_report/l2_5e-5": 1_668_906,
    "lenet_report/l2_5e-4": 1_668_906,
    "lenet_report/l2_5e-2": 1_668_906,
    "lenet_report/dropout": 1_668_906,
    "lenet_report/l2_dropout": 1_668_906,
    "lenet_report/final": 1_668_906,
    "lab_episode/epochs_100": 257_978,
    "lab_episode/epochs_150": 257_978,
    "lab_episode/epochs_200": 257_978,
    "base_cnn/base": 1_250_858,
    "base_cnn/augmented": 1_250_858,
    "base_cnn/longer": 1_250_858,
}
"""Parameters that the documents printed, or that follow from the layers that they list."""

STUDIES = {
    "architectures": 12,
    "augmentation": 15,
    "case_study": 12,
    "depth": 9,
    "improvements": 36,
    "kernel_size": 21,
    "regularization": 80,
    "training_length": 3,
    "training_length_anew": 9,
    "transfer": 48,
}
"""Number of runs of each study."""

NOT_THE_DOCUMENTS_EPOCHS = {
    "keras_lesson/kernel_size/": 50,
    "lab_episode/improvements/": 200,
    "transfer/": 10,
    "base_cnn/longer": 2,
}
"""Epochs of arms that no document trained, or of whose training it does not say how long it was."""

SMALL = ("data=synthetic", *TINY[:2], "budget=smoke", "tracking=none", "trainer.threads=1", "analysis.pictures=false")
FOLDERS = sorted({name.split("/")[0] for name in experiments()})


@pytest.fixture(scope="module")
def configs():
    names = experiments()
    return dict(zip(names, compose_all([[f"experiment={name}"] for name in names]), strict=True))


@pytest.fixture(scope="module")
def vgg16_weights(tmp_path_factory):
    """A file in torchvision's layout, with random weights."""
    from torchvision.models import vgg16

    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    with torch.device("meta"):
        net = vgg16(weights=None)
    features = {name: t for name, t in net.state_dict().items() if name.startswith("features.")}
    torch.save({name: torch.randn(t.shape) * 0.02 for name, t in features.items()}, path)
    return path


def test_every_arm_builds_and_has_its_documents_parameters(configs):
    counted = {name: build.summarize_model(config).parameters for name, config in configs.items()}
    assert {name: build.outline_model(config).parameters for name, config in configs.items()} == counted
    assert {name: counted[name] for name in COUNTS} == COUNTS
    assert counted["case_study/model_4"] == 1_735_488 + 1_090_762  # VGG16's first three blocks, and the head
    assert counted["base_cnn/vgg16_frozen"] == 14_714_688 + 512 * 513 + 10 * 513


def test_every_arm_trains_on_cifar10_for_as_long_as_its_document_did_where_it_says_so(configs):
    assert {name: config.data.source["_target_"] for name, config in configs.items()} == dict.fromkeys(
        configs, "cifar_sweeps.data.load_cifar10"
    )
    for name, config in configs.items():
        own = [epochs for start, epochs in NOT_THE_DOCUMENTS_EPOCHS.items() if name.startswith(start)]
        if own:
            assert (config.published_epochs, [config.trainer.epochs], config.trainer.parts) == (None, own, 1), name
        else:
            assert config.trainer.epochs == config.published_epochs, name
            assert config.trainer.parts == config.published_parts, name


def test_every_arm_states_its_assumptions_and_one_that_a_document_trained_its_precision(configs):
    for name, config in configs.items():
        assert config.assumptions, name
        states_precision = any("float32" in sentence for sentence in config.assumptions)
        assert states_precision == (config.published_epochs is not None or bool(config.published)), name


def test_every_study_has_its_runs_and_compares_arms_that_it_has(configs, monkeypatch):
    def composed(many, config_dir=None):  # composing all arms a second time would take seconds
        return [configs[overrides[0].removeprefix("experiment=")] for overrides in many]

    monkeypatch.setattr("cifar_sweeps.studies.overview.catalogue.compose_all", composed)
    studies = {study.name: study for study in catalogue()}
    assert {name: study.runs for name, study in studies.items() if name} == STUDIES
    for name in STUDIES:
        arms = {arm.name for arm in studies[name].arms}
        config = compose([f"study={name}", f"experiment={min(arms)}"])
        sides = [side for claim in config.claims for side in (claim.arm, claim.against) if isinstance(side, str)]
        assert config.study_name == name
        assert config.claims
        assert set(sides) <= arms, name


# Two folders have half of all arms.
@pytest.mark.parametrize(
    "folder",
    [
        pytest.param(folder, marks=[pytest.mark.slow] if folder in ("keras_lesson", "lenet_report") else [])
        for folder in FOLDERS
    ],
)
def test_every_arm_runs_a_smoke_epoch_on_the_embedded_data(folder, tmp_path, vgg16_weights):
    names = [name for name in experiments() if name.startswith(f"{folder}/")]
    overrides = [
        [f"experiment={name}", *SMALL, *([f"model.weights={vgg16_weights}"] if _wants_vgg16(name) else [])]
        for name in names
    ]
    for name, config in zip(names, compose_all(overrides), strict=True):
        result = run(config, folder=tmp_path / name)
        epochs = config.trainer.parts  # one on each part
        assert [metrics.epoch for metrics in result.history] == list(range(1, epochs + 1)), name
        assert 0 <= result.metrics["test/accuracy"] <= 1


def _wants_vgg16(name):
    return name in ("case_study/model_4", "base_cnn/vgg16_frozen")
