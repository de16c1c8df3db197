"""MLflow is imported when it is first used, and as a whole also where Ctrl-C comes in between."""

import subprocess
import sys

SCRIPT = """
import os, signal, sys

class AtImport:
    def find_spec(self, name, path=None, target=None):
        if name == "mlflow.entities":
            os.kill(os.getpid(), signal.SIGINT)
        return None

sys.meta_path.insert(0, AtImport())
from cifar_sweeps.tracking import mlflow_api, store, delivery, recovery
print("mlflow" in sys.modules, "sqlalchemy" in sys.modules)
try:
    mlflow_api.MlflowClient
except KeyboardInterrupt:
    print("interrupted")
print(mlflow_api.MlflowClient.__name__, mlflow_api.ViewType.__name__, hasattr(mlflow_api, "nothing"))
"""


def test_an_interrupt_while_it_is_imported_leaves_all_of_it():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["False False", "interrupted", "MlflowClient ViewType False"]
