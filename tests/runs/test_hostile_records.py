"""A record of another user does not choose what runs, is read, is written or is sent on this machine."""

import os
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from mlflow.exceptions import MlflowException

from cifar_sweeps.cli import runs
from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.parse import from_dict
from cifar_sweeps.errors import ConfigError, TrackingError
from cifar_sweeps.runs import initial_weights
from cifar_sweeps.runs.recorded import localized_config, recorded_config, recorded_overrides
from cifar_sweeps.studies.arm_configs import arm_configs
from cifar_sweeps.tracking import store as store_module
from cifar_sweeps.tracking.recorded_run import RecordedRun


def recorded_run(**tags):
    named = {"overrides": "", "threads": "1", "precision": "fp32", **tags}
    return RecordedRun("abcd", "a run", "FINISHED", {}, {f"cifar_sweeps.{key}": value for key, value in named.items()})


@pytest.fixture
def store_with_config(outputs, tmp_path):
    """A function for a store whose only run has a given text as its config.yaml."""

    def store_with_config(text):
        path = tmp_path / "config.yaml"
        path.write_text(text, encoding="utf-8")
        client = SimpleNamespace(download_artifacts=lambda *_: str(path))
        return SimpleNamespace(uri="sqlite:////mine.db", outputs=outputs, client=lambda: client)

    return store_with_config


def changed(plain, **changes):
    for key, value in changes.items():
        *groups, name = key.split("__")
        place = plain
        for group in groups:
            place = place[group]
        place[name] = value
    return plain


def test_a_record_chooses_no_place_on_this_machine(store_with_config, outputs):
    hostile = changed(
        compose(["data=cifar10"]).as_dict,
        outputs="/elsewhere",
        tracking__uri="http://hostile:5000",
        data__source__cache="/elsewhere/../etc/cache",
        data__source__root="/root/downloads",
    )
    store = store_with_config(yaml.safe_dump(hostile))
    config = from_dict(localized_config(recorded_config(recorded_run(), store), recorded_run(), store))
    assert config.outputs == str(outputs)
    assert config.tracking.uri == store.uri
    assert Path(config.data.source["cache"]).is_relative_to(outputs)
    assert config.data.source["download"] is False


def test_images_stay_where_this_command_was_told_to_keep_them(store_with_config, outputs):
    inside = f"{outputs}/data/cache"
    for recorded, own, kept in (
        ("/shared/images", "/shared/images", "/shared/images"),
        ("/shared/images", "/another", inside),
        ("/shared/images", None, inside),
        (None, None, inside),  # not told is no place
    ):
        store = store_with_config(yaml.safe_dump(changed(compose([]).as_dict, data__source__cache=recorded)))
        config = localized_config(recorded_config(recorded_run(), store), recorded_run(), store, own)
        assert config["data"]["source"]["cache"] == kept


def test_a_place_in_the_outputs_moves_with_them(store_with_config, outputs):
    before = changed(compose(["data=cifar10"]).as_dict, outputs="/then", data__source__root="/then/data/cifar10")
    store = store_with_config(yaml.safe_dump(changed(before, data__source__cache="/then/data/mine")))
    config = from_dict(localized_config(recorded_config(recorded_run(), store), recorded_run(), store))
    assert config.data.source["cache"] == f"{outputs}/data/mine"
    assert config.data.source["root"] == f"{outputs}/data/cifar10"
    assert config.data.source["download"] is True


@pytest.mark.parametrize("part", ["model", "augmentation", "lr_schedule", "optimizer"])
def test_a_recorded_target_is_built_only_if_it_is_allowed(store_with_config, part):
    hostile = compose([]).as_dict
    hostile[part]["_target_"] = "torch.hub.load"
    store = store_with_config(yaml.safe_dump(hostile))
    plain = recorded_config(recorded_run(), store)
    with pytest.raises(ConfigError, match="not on the list"):
        build.check_config(from_dict(localized_config(plain, recorded_run(), store)))


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!!python/object/apply:os.mkdir [was_run]", "is not plain YAML"),
        ("a: !!python/name:os.system", "is not plain YAML"),
        (BOMB, "holds more than 100,000 values"),
        ("&a [*a]", "holds more than 100,000 values"),
        ("[" * 20_000, "is not plain YAML"),
        ("just words", "is not a config"),
        ("a: [1", "is not plain YAML"),
    ],
    ids=["object", "name", "bomb", "circle", "deep", "text", "torn"],
)
def test_a_hostile_file_is_one_error(store_with_config, text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrackingError, match=message):
        recorded_config(recorded_run(), store_with_config(text))
    assert not Path("was_run").exists()


@pytest.mark.parametrize(
    "override",
    [
        "--config-dir=/tmp",
        "-m",
        "hydra.launcher._target_=os.system",
        "+hydra.callbacks.x=1",
        "study_name=${oc.env:TOKEN}",
        "+x=${${a}.env:TOKEN}",
        "a=1\x1b[2J",
    ],
)
def test_a_recorded_override_that_does_more_than_train_is_not_repeated(override):
    with pytest.raises(TrackingError, match="is not repeated from a record"):
        recorded_overrides(recorded_run(overrides=shlex.join(["seed=1", override])))


def test_plain_overrides_are_repeated():
    typed = ["+experiment=case_study/model_3", "~x", "trainer.epochs=${budget.least_epochs}", "outputs='a b: c'"]
    assert recorded_overrides(recorded_run(overrides=shlex.join(typed)))[:-2] == typed


def test_overrides_that_were_cut_off_are_an_error():
    with pytest.raises(TrackingError, match="its recorded overrides are cut off"):
        recorded_overrides(recorded_run(overrides="seed=1 'data.root=a"))


def secret(folder, name):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("assumptions: [secret]\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("way", ["plain", "upwards", "link"])
def test_a_recorded_folder_is_not_followed_out_of_the_outputs(outputs, tmp_path, monkeypatch, way, capsys):
    for name in ("run.log", "config.yaml", initial_weights.CHECKPOINT):
        secret(tmp_path / "private", name)
    (outputs / "link").symlink_to(tmp_path / "private")
    upwards = f"{outputs}/{os.path.relpath(tmp_path / 'private', outputs)}"
    folder = {"plain": str(tmp_path / "private"), "upwards": upwards, "link": f"{outputs}/link"}[way]
    run = recorded_run(folder=folder)

    def download(*_):
        raise MlflowException("nothing there")

    client = SimpleNamespace(download_artifacts=download)
    store = SimpleNamespace(outputs=outputs, find_run=lambda _: run, client=lambda: client, check_exists=lambda: None)
    monkeypatch.setattr(store_module, "default_store", lambda: store)
    with pytest.raises(TrackingError, match="is not in"):
        runs.logs("abcd")
    assert "secret" not in capsys.readouterr().out
    recorded = SimpleNamespace(
        run_id="abcd", arm="arm", finished=True, started=0, tag=lambda key: folder if key == "folder" else None
    )
    assert arm_configs(client, [recorded], outputs) == {}
    monkeypatch.setattr(initial_weights, "Store", lambda *_: store)
    with pytest.raises(ConfigError, match="nothing there"):
        initial_weights._find_checkpoint(compose([]), "abcd")


def test_a_run_id_that_is_a_path_is_refused():
    info = SimpleNamespace(run_id="../../etc", run_name="x", status="FINISHED")
    with pytest.raises(TrackingError, match="the store returned an invalid run id"):
        store_module._recorded_run(SimpleNamespace(info=info, data=SimpleNamespace(metrics={}, tags={})))
