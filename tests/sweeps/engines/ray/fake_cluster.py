"""A cluster without Ray: its actors are objects in this process, each with a real, scripted worker process."""

import pickle
import sys
import time
from dataclasses import replace
from pathlib import Path

from omegaconf import OmegaConf

from cifar_sweeps.sweeps.engines.ray.actor import JobActor, Place
from cifar_sweeps.sweeps.engines.ray.cluster import ActorLostError, ActorNeeds, GivenUpError
from cifar_sweeps.sweeps.engines.ray.engine import RayEngine
from cifar_sweeps.sweeps.engines.ray.follower import FollowerSettings
from cifar_sweeps.sweeps.engines.ray.shared_folder import leave_token
from cifar_sweeps.sweeps.engines.worker import make_payload, pack_shared
from cifar_sweeps.sweeps.jobs import JobExit, JobSpec

WORKER = Path(__file__).with_name("scripted_worker.py")


class ScriptedActor(JobActor):
    def _command(self, task_folder, code):
        return [sys.executable, "-I", "-S", str(WORKER), task_folder]

    def _end_own_process(self):
        """End nothing: this actor lives in the process of the tests."""


class FakeCluster:
    """Places each actor on the first node that lives. nodes: the folder of each on "its" disk, by name."""

    def __init__(self, nodes: dict[str, str], has_room=True):
        self.nodes, self.has_room = dict(nodes), has_room
        self.actors, self.node_of, self.started = {}, {}, []
        self.is_connected = True

    def start_actor(self, name, needs, outlives_us):
        assert name not in self.actors, "the name is taken"
        self.started.append((name, needs, outlives_us))
        self.actors[name] = ScriptedActor()
        self.node_of[self.actors[name]] = next(iter(self.nodes))
        return self.actors[name]

    def find_actor(self, name):
        return self.actors.get(name)

    def call(self, actor, method, *arguments, given_up):
        while not self.has_room or not self.is_connected:
            if given_up():
                raise GivenUpError
            time.sleep(0.01)
        if given_up():  # as where an answer takes its time
            raise GivenUpError
        node = self.node_of[actor]
        if node not in self.nodes:
            raise ActorLostError("node_failed", "its node died")
        if actor not in self.actors.values():
            raise ActorLostError("lost", "its Ray actor died: killed")
        arguments = pickle.loads(pickle.dumps(arguments))
        if method == "locate":
            token, use_shared, _, *rest = arguments
            place: Place = actor.locate(token, use_shared, self.nodes[node], *rest)
            return replace(place, node=node)
        return pickle.loads(pickle.dumps(getattr(actor, method)(*arguments)))

    def kill(self, actor):
        if actor in self.actors.values():
            self.actors = {name: each for name, each in self.actors.items() if each is not actor}
            end_process(actor)

    def kill_node(self, node):
        del self.nodes[node]
        for actor in [actor for actor in self.actors.values() if self.node_of[actor] == node]:
            self.kill(actor)

    def disconnect(self):
        self.is_connected = False


def end_process(actor):
    """End a worker's process as a real one ends with its actor."""
    if actor._process is not None:
        actor._process.kill()
        actor._process.wait()


def make_engine(cluster, sweep, steps="", use_shared=True, outlives_us=False):
    sweep.mkdir(parents=True, exist_ok=True)
    (sweep / "sweep.json").write_text("{}")
    environment = {"STEPS": steps}
    base = "replaced by the fake"
    settings = FollowerSettings(
        sweep, leave_token(sweep), ActorNeeds(), use_shared, base, outlives_us, True, "", environment
    )
    return RayEngine(cluster, settings)


def make_spec(sweep, job=0, images=None, until=None, typed_in=None, **trainer):
    source = {"_target_": "x"} | ({} if images is None else {"root": str(images)})
    outputs = sweep.parent.parent
    node = OmegaConf.create(
        {
            "outputs": str(outputs),
            "data": {"source": source},
            "model": {},
            "optimizer": {},
            "augmentation": {},
            "lr_schedule": {},
            "trainer": {"init_from": None, **trainer},
            "hydra": {"runtime": {"cwd": str(typed_in or outputs.parent)}, "sweep": {"dir": str(sweep)}},
        }
    )
    folder = sweep / str(job)
    return JobSpec(job, folder, folder / "run.log", make_payload(pack_shared("context"), node), 1, until=until)


def wait_for(engine, what, seconds=20):
    """Wait until ``what(items)`` is true of all that the engine has returned, and return that."""
    items, end = [], time.monotonic() + seconds
    while not what(items):
        assert time.monotonic() < end, items
        items += engine.wait(0.05)
    return items


def exits(items):
    return [item for item in items if isinstance(item, JobExit)]


def exit_of(engine, seconds=20):
    return exits(wait_for(engine, exits, seconds))[0]
