"""A Ray cluster of two nodes on this machine, in a process of its own: ``kill`` on its input kills the second node."""

import json
import os
import subprocess
import sys
from pathlib import Path

STORE = 100 << 20
"""Bytes of shared memory of each node."""


class TwoNodes:
    """The cluster; both nodes have ``cpus`` logical CPUs. address: to join it."""

    def __init__(self, folder: Path, cpus: int = 2) -> None:
        self.environment = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        with (folder / "cluster.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(cpus)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **self.environment},
            )
        self.address = json.loads(self._answer())["address"]

    def _answer(self) -> str:
        while not (line := self._process.stdout.readline()).startswith("{"):
            assert line, "the cluster has ended; see cluster.log"
        return line

    def kill_node(self) -> None:
        """Kill the second node, without a word to the first."""
        self._tell("kill")

    def add_node(self) -> None:
        self._tell("add")

    def _tell(self, what: str) -> None:
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        self._answer()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(60)


def serve(cpus: int) -> None:
    from ray.cluster_utils import Cluster

    own = {"num_cpus": cpus, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**own, "include_dashboard": False})
    nodes = [cluster.add_node(**own)]
    cluster.wait_for_nodes()
    print(json.dumps({"address": cluster.address}), flush=True)
    for line in sys.stdin:
        if line.strip() == "kill":
            cluster.remove_node(nodes.pop(), allow_graceful=False)
        else:
            nodes.append(cluster.add_node(**own))
        print("{}", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
