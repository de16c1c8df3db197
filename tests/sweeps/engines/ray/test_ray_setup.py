import inspect
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.sweeps.engines.ray import cluster as ray_cluster
from cifar_sweeps.sweeps.engines.ray.cluster import ActorNeeds, _lost
from cifar_sweeps.sweeps.engines.ray.setup import RaySetup
from cifar_sweeps.sweeps.engines.setup import join_placed, make_setup
from cifar_sweeps.sweeps.tasks import Placement, read_placement, write_placement
from cifar_sweeps.system.cores import Parallelism
from hydra_plugins.cifar_sweeps_ray import RayLauncher


@pytest.fixture(autouse=True)
def _this_machine(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("cifar_sweeps.sweeps.engines.ray.setup.available_cores", lambda: 6)
    monkeypatch.setattr("cifar_sweeps.sweeps.engines.ray.setup.visible_gpus", lambda: ["0"])


def configs(*threads):
    return [SimpleNamespace(trainer=SimpleNamespace(threads=each)) for each in threads or ("auto",)]


@pytest.fixture
def joined(monkeypatch):
    """Makes a setup on a cluster that is there. nodes: the resources of each."""

    def make(*nodes, **options):
        monkeypatch.setattr(ray_cluster.RayCluster, "connect", lambda *_: None)
        monkeypatch.setattr(ray_cluster.RayCluster, "nodes", lambda _: list(nodes))
        said = []
        return RaySetup(address="auto", say=said.append, **options), said

    return make


@pytest.mark.parametrize(
    ("needs", "node", "count"),
    [
        (ActorNeeds(), {"CPU": 4.0}, 4),
        (ActorNeeds(num_cpus=3), {"CPU": 8.0}, 2),
        (ActorNeeds(num_cpus=0.1), {"CPU": 0.3}, 3),
        (ActorNeeds(num_gpus=0.5), {"CPU": 16.0, "GPU": 2.0}, 4),
        (ActorNeeds(num_gpus=1), {"CPU": 16.0}, 0),
        (ActorNeeds(memory=4_000_000_000), {"CPU": 16.0, "memory": 9e9}, 2),
        (ActorNeeds(resources={"a100": 1}), {"CPU": 16.0, "a100": 3.0}, 3),
    ],
    ids=["cpus", "several cpus", "part of a cpu", "half a gpu", "no gpu", "memory", "a resource of its own"],
)
def test_a_node_has_room_for_as_many_jobs_as_its_scarcest_resource(needs, node, count):
    assert needs.fit_into(node) == count


def test_as_many_jobs_at_once_as_all_nodes_have_room_for_and_no_more_than_there_are(joined):
    setup, said = joined({"CPU": 4.0}, {"CPU": 3.0}, num_cpus=2)
    assert setup.choose_parallelism(configs(), 12) == Parallelism(3, 2)
    assert setup.choose_parallelism(configs(), 2) == Parallelism(2, 2)
    assert said == []
    assert setup.can_be_left


def test_n_jobs_wins_and_the_rest_waits_for_room(joined):
    setup, _ = joined({"CPU": 4.0}, n_jobs=9)
    assert setup.choose_parallelism(configs(), 12).jobs == 9


def test_a_cluster_that_has_no_room_now_is_waited_for_with_a_word(joined):
    setup, said = joined({"CPU": 4.0}, num_gpus=1)
    assert setup.choose_parallelism(configs(), 3).jobs == 1
    assert said == [
        "No node of the cluster has CPU 1, GPU 1 now: the jobs wait until one joins, and run one at a time; "
        "hydra.launcher.n_jobs=N asks for room for N"
    ]
    assert setup.device == "cuda"


def test_gpus_that_are_not_used_and_threads_that_are_not_kept_are_told(joined):
    setup, said = joined({"CPU": 4.0, "GPU": 2.0})
    setup.choose_parallelism(configs("auto", 4), 2)
    assert [line.partition(":")[0] for line in said] == ["hydra.launcher.num_gpus=0", "trainer.threads=4"]
    assert setup.device == "cpu"


def test_a_cluster_of_this_machine_has_its_cores_and_cannot_be_left():
    setup = RaySetup(say=lambda _: None)
    assert setup.choose_parallelism(configs(), 12) == Parallelism(6, 1)
    assert not setup.can_be_left
    with pytest.raises(ConfigError, match="a job needs CPU 7, and this machine has not as much"):
        RaySetup(num_cpus=7).choose_parallelism(configs(), 2)


def test_ray_address_names_a_cluster_to_join(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert RaySetup().can_be_left


@pytest.fixture
def _at(monkeypatch):
    """Ray is there, and joined without one."""
    runtime = SimpleNamespace(gcs_address="10.0.0.1:6379")
    fake = SimpleNamespace(init=lambda **_: None, get_runtime_context=lambda: runtime, __version__="0")
    monkeypatch.setattr("cifar_sweeps.sweeps.engines.ray.cluster.import_ray", lambda: fake)
    monkeypatch.setattr("cifar_sweeps.sweeps.engines.ray.setup.import_ray", lambda: fake)


@pytest.mark.usefixtures("_at")
@pytest.mark.parametrize("address", [None, "auto"])
def test_another_shell_finds_the_cluster_on_which_a_sweep_was_left(monkeypatch, tmp_path, address):
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    options = {"address": address, "num_cpus": 2}
    setup = make_setup("ray", options)
    setup.prepare(with_export=False)
    write_placement(tmp_path, Placement("ray", {**options, **setup.found}))

    monkeypatch.delenv("RAY_ADDRESS")
    for found in (read_placement(tmp_path).options, join_placed("ray", options, [tmp_path / "over", tmp_path])):
        assert found == {"address": "10.0.0.1:6379", "num_cpus": 2}
        assert make_setup("ray", found).can_be_left
    assert join_placed("ray", {"address": "other:1"}, [tmp_path]) == {"address": "other:1"}, "what is typed wins"
    assert join_placed("slurm", {"partition": "gpu"}, [tmp_path]) == {"partition": "gpu"}
    assert RaySetup().found == {}, "a cluster of this machine ends with its command"


def test_all_that_is_wrong_comes_in_one_error():
    with pytest.raises(ConfigError) as caught:
        RaySetup(num_cpus=0, num_gpus=-1, memory="4G", resources={"a100": 0}, shared="yes")
    assert [error.partition(":")[0] for error in caught.value.errors] == [
        "hydra.launcher.num_cpus=0",
        "hydra.launcher.num_gpus=-1",
        "hydra.launcher.memory=4G",
        "hydra.launcher.resources.a100=0",
        "hydra.launcher.shared=yes",
    ]


def test_without_ray_one_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ConfigError, match=r"Ray is not installed .*pip install 'cifar-sweeps\[ray\]'"):
        RaySetup().prepare(with_export=False)


def test_rays_client_is_refused_with_what_to_do():
    with pytest.raises(ConfigError, match="Ray's client is not supported; start the command on a node"):
        RaySetup(address="ray://head:10001")


@pytest.mark.parametrize(
    ("text", "cause", "reason"),
    [
        ("The actor died unexpectedly. ip: 10.0.0.2 The actor died because its node has died.", "node_failed", "died"),
        ("ip: 10.0.0.2 The actor is dead: killed as the node was low on memory.", "out_of_memory", "out of memory"),
        ("ModuleNotFoundError: No module named 'cifar_sweeps'", "lost", "install the same version there"),
        ("ip: 10.0.0.2 The actor is dead because its worker process has died.", "lost", "worker process has died"),
    ],
    ids=["node", "memory", "not installed", "killed"],
)
def test_why_an_actor_died_is_read_from_what_ray_says(text, cause, reason):
    error = _lost(Exception(text))
    assert error.cause == cause
    assert reason in str(error)


def test_every_key_of_the_launchers_file_is_the_setups_and_has_its_default():
    keys = OmegaConf.to_container(OmegaConf.load(conf_folder() / "hydra" / "launcher" / "ray.yaml"))
    assert keys.pop("_target_") == "hydra_plugins.cifar_sweeps_ray.RayLauncher"
    defaults = {name: each.default for name, each in inspect.signature(RaySetup).parameters.items() if name != "say"}
    assert keys == defaults | {"resources": {}}
    assert RayLauncher(**keys).options == keys
    assert isinstance(make_setup("ray", keys), RaySetup)


def test_jobs_that_deliver_have_the_logins_of_object_stores_and_all_reach_the_web(monkeypatch, tmp_path):
    own = {"MLFLOW_TRACKING_URI": "http://store", "https_proxy": "http://proxy", "SSL_CERT_FILE": "/etc/ca.pem"}
    logins = {"AWS_SECRET_ACCESS_KEY": "sesame-1", "GOOGLE_X": "sesame-2", "AZURE_Y": "sesame-3"}
    monkeypatch.setattr("os.environ", {**own, **logins, "HOME": "/home/me"})
    monkeypatch.setattr(ray_cluster.RayCluster, "connect", lambda *_: None)
    made = {}
    for delivers in (True, False):
        engine = RaySetup(address="head:1", num_gpus=1).open(tmp_path, Parallelism(1, 1), delivers)
        made[delivers] = engine._settings.environment
        assert "sesame" not in repr(engine._settings)
    assert made == {True: own | logins, False: own}
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"sesame" in path.read_bytes()]
