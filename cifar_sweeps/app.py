"""cifar-train: the Hydra entry. Composition, sweeps and flags are Hydra's; faults are told in one clear message."""

import sys

import hydra
from omegaconf import DictConfig

from cifar_sweeps.config.hydra_targets import only_what_is_known
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.config.sweep_composer import composed_once
from cifar_sweeps.sweeps.command import told_clearly
from cifar_sweeps.system.gc_control import imports_without_gc, skip_final_gc


@hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")
def train(cfg: DictConfig) -> float | None:
    """Train one job; what it returns is the objective that an optimising sweeper maximises."""
    with imports_without_gc():  # torch and mlflow: not for --help, --cfg and tab completion
        from cifar_sweeps.sweeps.train_job import train_job

    return train_job(cfg)


def main() -> None:
    """Run the command and exit with its status: 0 if all was trained, 1 if anything failed."""
    if sys.platform == "win32":
        sys.exit(
            "cifar-train runs on Linux and macOS. On Windows use it inside WSL: the jobs of a sweep, their news and "
            "the safe writing of files need a POSIX system."
        )
    skip_final_gc()
    sys.argv[1:] = _flags_first(sys.argv[1:])
    with only_what_is_known(), composed_once():
        sys.exit(told_clearly(train))


def _flags_first(arguments: list[str]) -> list[str]:
    """Hydra's parser takes -m ahead of the overrides alone; people write it anywhere."""
    return sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))  # sorting keeps the order


if __name__ == "__main__":
    main()
