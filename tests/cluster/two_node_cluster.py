"""A Ray cluster of two nodes on this machine, in a process of its own: ``kill`` on its input kills the second node."""

import json
import os
import subprocess
import sys
from pathlib import Path

STORE = 100 << 20
"""Bytes of shared memory of each node."""


class TwoNodes:
    """The cluster; both nodes have ``cpus`` logical CPUs. dashboard: whether it takes whole commands as jobs.

    There is one node then, for two of them on one machine take each other's unpacked jobs away.

    address: to join it. second: the process that all of the second node's processes come from. jobs: where jobs are
    submitted, if there is a dashboard.
    """

    def __init__(self, folder: Path, cpus: int = 2, dashboard: bool = False) -> None:
        self.environment = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        with (folder / "cluster.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(cpus), str(int(dashboard))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # A job that is submitted finds cifar-train on the path of the node, as on a cluster that has it.
                env={**os.environ, **self.environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            )
        answer = json.loads(self._answer())
        self.address, self.second, self.jobs = answer["address"], answer["second"], f"http://{answer['jobs']}"

    def _answer(self) -> str:
        while not (line := self._process.stdout.readline()).startswith("{"):
            assert line, "the cluster has ended; see cluster.log"
        return line

    def kill_node(self) -> None:
        """Kill the second node, without a word to the first."""
        self._process.stdin.write("kill\n")
        self._process.stdin.flush()
        self._answer()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(60)


def serve(cpus: int, dashboard: bool) -> None:
    from ray.cluster_utils import Cluster

    own = {"num_cpus": cpus, "object_store_memory": STORE}
    cluster = Cluster(initialize_head=True, head_node_args={**own, "include_dashboard": dashboard})
    second = cluster.head_node if dashboard else cluster.add_node(**own)
    cluster.wait_for_nodes()
    raylet = second.all_processes["raylet"][0].process.pid
    print(json.dumps({"address": cluster.address, "second": raylet, "jobs": cluster.head_node.webui_url}), flush=True)
    for _ in sys.stdin:
        cluster.remove_node(second, allow_graceful=False)
        print("{}", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2] == "1")
