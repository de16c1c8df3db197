"""All that touches Ray itself: connect, place actors, call them, and say what has become of them.

Ray is imported here alone, when it is used: everything else runs without it.
"""

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cifar_sweeps.errors import ConfigError, MachineError, in_one_line
from cifar_sweeps.sweeps.engines.ray.actor import JobActor

NAMESPACE = "cifar_sweeps"
ADDRESS = "RAY_ADDRESS"
"""Ray's own variable for the cluster's address; set in a Ray job, too."""
_OBJECT_STORE = 256 << 20
"""Bytes of shared memory that a local cluster takes: a report has 16 MiB at most, and is gone once it is read."""
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # an actor without GPUs sees none, whatever a later version's default
}
_POLL_SECONDS = 0.5
"""Seconds after which a call that waits looks whether it is still wanted."""


@dataclass(frozen=True)
class ActorNeeds:
    """What an actor takes of a node. memory: bytes; None: not looked at. resources: custom ones."""

    num_cpus: float = 1
    num_gpus: float = 0
    memory: int | None = None
    resources: Mapping[str, float] = field(default_factory=dict)

    def by_name(self) -> dict[str, float]:
        """Return the amounts by Ray's names, without those that are zero."""
        amounts = {"CPU": self.num_cpus, "GPU": self.num_gpus, "memory": float(self.memory or 0), **self.resources}
        return {name: amount for name, amount in amounts.items() if amount}

    def fit_into(self, node: Mapping[str, float]) -> int:
        """Return how many such actors a node has room for. node: its resources by Ray's names."""
        return min((int(node.get(name, 0) / amount + 1e-9) for name, amount in self.by_name().items()), default=0)


class ActorLostError(Exception):
    """An actor does not live any more. cause: of the `JobExit` of its job; the message is its detail."""

    def __init__(self, cause: Literal["node_failed", "out_of_memory", "lost"], reason: str) -> None:
        super().__init__(reason)
        self.cause: Literal["node_failed", "out_of_memory", "lost"] = cause


class GivenUpError(Exception):
    """A call was given up before it was answered: the actor waits for room, or its node does not answer."""


class RayCluster:
    """A connection to a Ray cluster; one a process.

    address: of the cluster to join; None: RAY_ADDRESS, or else a cluster of this machine alone, which is started, and
    ends with this process. Raises ConfigError for Ray's client.
    """

    def __init__(self, address: str | None) -> None:
        self.address = address or os.environ.get(ADDRESS)
        if self.address is not None and self.address.startswith("ray://"):
            raise ConfigError(
                f"hydra.launcher.address={self.address}: Ray's client is not supported; start the command on a node of "
                "the cluster with hydra.launcher.address=auto, or as a Ray job: ray job submit -- cifar-train …"
            )
        self._ray: Any = None

    @property
    def is_local(self) -> bool:
        """Whether the cluster is this process's own."""
        return self.address is None

    @property
    def found_address(self) -> str | None:
        """The address under which another shell joins the same cluster, once connected; None of a local one."""
        if self.is_local or self._ray is None:
            return self.address
        return str(self._ray.get_runtime_context().gcs_address)

    def connect(self, cpus: int = 1, gpus: int = 0) -> None:
        """Join or start the cluster; once. cpus, gpus: what one that is started has.

        Raises ConfigError or MachineError.
        """
        if self._ray is not None:
            return
        ray = import_ray()
        own: dict[str, Any] = {"address": self.address}
        if self.is_local:
            own = {"address": "local", "num_cpus": cpus, "num_gpus": gpus}
            own |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE}
        try:
            with _own_signal_handlers():
                ray.init(**own, namespace=NAMESPACE, log_to_driver=False, configure_logging=False)
        except Exception as error:
            raise MachineError(self._explain(ray, error)) from error
        self._ray = ray

    def nodes(self) -> list[Mapping[str, float]]:
        """Return the resources of each node that lives, by Ray's names."""
        return [dict(node["Resources"]) for node in self._ray.nodes() if node["Alive"]]

    def start_actor(self, name: str, needs: ActorNeeds, outlives_us: bool) -> Any:  # noqa: ANN401 (Ray's handle)
        """Start the actor of a job, as soon as a node has room for it, and return its handle at once."""
        options: dict[str, Any] = {
            "name": name,
            "namespace": NAMESPACE,
            "num_cpus": needs.num_cpus,
            "num_gpus": needs.num_gpus,
            "resources": dict(needs.resources),
            # A run that was started twice would be trained twice into one folder: the controller alone starts it again.
            "max_restarts": 0,
            "max_task_retries": 0,
        }
        if needs.memory is not None:
            options["memory"] = needs.memory
        if outlives_us:
            options["lifetime"] = "detached"
        return self._ray.remote(JobActor).options(**options).remote()

    def find_actor(self, name: str) -> Any | None:  # noqa: ANN401
        """Return the handle of an actor that another controller has started; None if it does not live."""
        try:
            return self._ray.get_actor(name, namespace=NAMESPACE)
        except ValueError:
            return None

    def call(self, actor: Any, method: str, *arguments: Any, given_up: Callable[[], bool]) -> Any:  # noqa: ANN401
        """Call an actor and return what it returns. The method may be called twice where the actor is cut off.

        given_up: asked now and then while there is no answer. Raises GivenUpError if it says so, ActorLostError if the
        actor does not live, and what the method raises.
        """
        exceptions = self._ray.exceptions
        while True:
            try:
                return self._wait_for(getattr(actor, method).remote(*arguments), given_up)
            except exceptions.ActorUnavailableError as error:  # for an instant, or until its node is known to be dead
                if given_up():
                    raise GivenUpError from error
                time.sleep(_POLL_SECONDS)
            except exceptions.RayActorError as error:
                raise _lost(error) from error
            except exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else error from None
            except exceptions.RayError as error:
                raise ActorLostError("lost", f"Ray: {in_one_line(error)}") from error

    def _wait_for(self, reference: Any, given_up: Callable[[], bool]) -> Any:  # noqa: ANN401
        while not self._ray.wait([reference], timeout=_POLL_SECONDS)[0]:
            if given_up():
                raise GivenUpError
        return self._ray.get(reference)

    def _explain(self, ray: Any, error: Exception) -> str:  # noqa: ANN401
        if self.is_local:
            return (
                f"a Ray cluster cannot be started on this machine ({in_one_line(error)}); its logs are under /tmp/ray"
            )
        return (
            f"hydra.launcher.address={self.address}: the Ray cluster cannot be joined ({in_one_line(error)}); does it "
            f"run (ray status), this machine among its nodes, with Ray {ray.__version__} and this Python? "
            "A cluster that asks for tokens wants RAY_AUTH_MODE=token here, too. Where it is gone, "
            "hydra.launcher.address=… in the sweep's command names another"
        )

    def kill(self, actor: Any) -> None:  # noqa: ANN401
        """End an actor, and with it its job's process."""
        with contextlib.suppress(Exception):  # it is gone, or the cluster is
            self._ray.kill(actor, no_restart=True)

    def disconnect(self) -> None:
        """Leave the cluster; one that was started ends. Actors that do not outlive this process end, too."""
        if self._ray is not None:
            ray, self._ray = self._ray, None
            ray.shutdown()


def import_ray() -> Any:  # noqa: ANN401 (the module)
    """Import Ray without what it prints. Raises ConfigError if it is not installed."""
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    logger = logging.getLogger("ray")  # what concerns a job comes as an exception
    logger.setLevel(logging.CRITICAL)
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ConfigError(
            f"hydra/launcher=ray: Ray is not installed ({in_one_line(error)}); pip install 'cifar-sweeps[ray]'"
        ) from error
    # Private, for log_to_driver=False leaves the errors of all nodes, which would tear the live table.
    if hasattr(ray._private.worker, "_worker_logs_enabled"):
        ray._private.worker._worker_logs_enabled = False
    return ray


def _lost(error: Exception) -> ActorLostError:
    """Return why an actor has died, from the text in which Ray says so."""
    text = " ".join(str(error).split())
    if "No module named 'cifar_sweeps" in text:
        return ActorLostError("lost", "its node does not have cifar_sweeps: install the same version there")
    if "low on memory" in text or "out of memory" in text.lower():
        return ActorLostError("out_of_memory", "Ray ended it, as its node ran out of memory")
    if getattr(error, "preempted", False) or "node has died" in text or "node died" in text.lower():
        return ActorLostError("node_failed", "its node died")
    return ActorLostError("lost", f"its Ray actor died: {_last_sentence(text)}")


def _last_sentence(text: str) -> str:
    return text.rpartition("ip: ")[2].partition(" ")[2][:300] or text[:300]


@contextlib.contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Keep this process's signal handlers: ``ray.init`` sets one for SIGTERM that ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
