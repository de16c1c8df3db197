import os
from pathlib import Path

import cloudpickle
import pytest
from fake_cluster import make_spec

from cifar_sweeps.sweeps.engines.ray.actor import Place
from cifar_sweeps.sweeps.engines.ray.node_folder import NodeFolder
from cifar_sweeps.sweeps.engines.ray.relocation import check_place, find_requirements, relocate_payload
from cifar_sweeps.sweeps.engines.ray.shared_folder import leave_token, sees_token


@pytest.fixture
def home(tmp_path):
    home = tmp_path / "home"
    (home / "outputs" / "sweeps" / "S").mkdir(parents=True)
    return home


def spec(home, **options):
    return make_spec(home / "outputs" / "sweeps" / "S", typed_in=home, **options)


def moved(payload, root):
    return cloudpickle.loads(relocate_payload(payload, find_requirements(payload), root))[1]


def test_places_in_the_outputs_move_and_all_others_stay(home, tmp_path):
    outside = tmp_path / "photos"
    payload = spec(home, images=outside, note="/usr/share").payload
    config = moved(payload, "/tmp/job-x")
    assert config.outputs == f"/tmp/job-x{home}/outputs"
    assert config.hydra.sweep.dir == f"/tmp/job-x{home}/outputs/sweeps/S"
    assert config.hydra.runtime.cwd == f"/tmp/job-x{home}"
    assert config.data.source.root == str(outside)
    assert config.trainer.note == "/usr/share"


def test_files_that_the_config_names_go_along(home, tmp_path):
    (home / "start.pt").write_bytes(b"weights")
    (tmp_path / "other.pt").write_bytes(b"weights")
    payload = spec(home, init_from="start.pt", note=str(tmp_path / "other.pt")).payload
    required = find_requirements(payload)
    assert set(required.files) == {str(home / "start.pt"), str(tmp_path / "other.pt")}
    assert required.initial_run is None
    config = moved(payload, "/tmp/job-x")
    assert config.trainer.init_from == "start.pt", "the folder that stands for the one of the command has it"
    assert config.trainer.note == f"/tmp/job-x{tmp_path}/other.pt"


def test_images_that_can_be_downloaded_need_not_be_on_the_node(home):
    payload = spec(home, images="outputs/data/cifar10").payload
    required = find_requirements(payload)
    assert required.images == str(home / "outputs/data/cifar10")
    place = Place("node7", False, "/tmp/job-x", (required.images,))
    with pytest.raises(Exception, match="is not on the node node7"):
        check_place(required, place)
    check_place(required, Place("node7", False, "/tmp/job-x"))
    config = cloudpickle.loads(payload)[1]
    config.data.source.download = True
    check_place(find_requirements(cloudpickle.dumps(("context", config, None, {}))), place)


def test_a_node_finds_its_own_images_where_the_controller_has_them(tmp_path):
    images = tmp_path / "home/outputs/data/photos"
    images.mkdir(parents=True)
    folder = NodeFolder(str(tmp_path / "node"), str(tmp_path / "home/outputs"))
    assert folder.offer(str(images))
    assert Path(folder.place_of(str(images))).samefile(images)
    assert not folder.offer(str(tmp_path / "nowhere"))


def test_image_caches_outlive_a_job_and_what_a_dead_one_left_does_not(tmp_path):
    base, outputs = tmp_path / "node", "/home/me/outputs"
    first = NodeFolder(str(base), outputs)
    Path(first.place_of(f"{outputs}/data/cache.pt")).write_text("images")
    other = NodeFolder(str(base), outputs)
    assert first.path.is_dir(), "its process lives"
    os.close(first._lock)  # as when its process dies
    third = NodeFolder(str(base), outputs)
    assert not first.path.exists()
    assert other.path.is_dir()
    third.remove()
    assert not third.path.exists()
    assert Path(other.place_of(f"{outputs}/data/cache.pt")).read_text() == "images"


def test_a_disk_is_shared_if_the_token_is_seen_and_a_folder_of_the_same_name_is_not_enough(tmp_path):
    token = leave_token(tmp_path)
    assert sees_token(token)
    newer = leave_token(tmp_path)
    assert not sees_token(token)
    newer.write_text("another machine's")
    assert not sees_token(newer)
    newer.write_bytes(b"\xff")
    assert not sees_token(newer)
