"""Code version, package versions and machine of a run, recorded as its tags."""

import functools
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import cifar_sweeps

PACKAGES = ("torch", "torchvision", "numpy", "hydra-core", "omegaconf", "mlflow")


def provenance() -> dict[str, str]:
    """Return git commit, whether the tree was clean, versions and processor, by the tags' short names.

    The commit is that of the checkout that holds the package, else of the working folder. Collected once per process
    and the processes forked from it.
    """
    return dict(_collect())


@functools.cache
def _collect() -> dict[str, str]:
    found = {"git_commit": "none", "git_clean": "unknown"}
    for folder in (Path(cifar_sweeps.__file__).parent, Path.cwd()):
        commit = _git(folder, "rev-parse", "HEAD")
        if commit:
            found["git_commit"] = commit
            found["git_clean"] = "no" if _git(folder, "status", "--porcelain", "--untracked-files=normal") else "yes"
            break
    found["version"] = cifar_sweeps.__version__
    found["python"] = platform.python_version()
    found["platform"] = platform.platform()
    found["cpu"] = cpu_model()
    found.update({f"version.{name}": _version(name) for name in PACKAGES})
    return found


def cpu_model() -> str:
    """Return the processor's model name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:  # not Linux
        pass
    return _run("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"


def _git(folder: Path, *arguments: str) -> str:
    return _run("git", "-C", str(folder), *arguments)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
