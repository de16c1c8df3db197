"""What each benchmark should reach: the only place where a limit is written."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A limit on a figure."""

    limit: float
    at_most: bool

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:g}"

    def met(self, value: float) -> bool:
        """Say whether the figure reaches the goal."""
        return value <= self.limit if self.at_most else value >= self.limit


def at_most(limit: float) -> Goal:
    """A figure that should be small."""
    return Goal(limit, at_most=True)


def at_least(limit: float) -> Goal:
    """A figure that should be large."""
    return Goal(limit, at_most=False)


GOALS: dict[str, Goal] = {
    "step/plain_3/against_eager": at_least(2.0),
    "step/case_study/model_3/against_eager": at_least(2.0),
    "step/lenet_3/against_eager": at_least(2.0),
    "step/small_resnet/against_eager": at_least(2.0),
    "step/resnet18/against_eager": at_least(1.6),
    "step/plain_3/of_peak": at_least(50),
    "step/case_study/model_3/of_peak": at_least(50),
    "loop/none": at_most(1.03),
    "loop/rotate_shift_flip": at_most(1.12),
    "sweep/case_study/model_3/plain_torch": at_least(3.75),
    "sweep/case_study/model_3/lightning_mlflow": at_least(4.0),
    "sweep/case_study/model_3/keras_tf": at_least(2.35),
    "sweep/lenet_3/plain_torch": at_least(2.75),
    "sweep/lenet_3/lightning_mlflow": at_least(2.8),
    "sweep/lenet_3/keras_tf": at_least(2.55),
    "start/help": at_most(0.5),
    "start/cfg_job": at_most(1.5),
    "start/torch_imported": at_most(0),
    "start/first_step_beyond_imports": at_most(1.0),
    "start/sweep_first_epoch": at_most(5.0),
    "start/job_cost": at_most(0.5),
    "start/job_cost/300": at_most(0.5),
    "start/job_growth": at_most(1.1),
    "store/recording_percent": at_most(1.0),
    "controller/growth": at_most(1.2),
    "controller/memory/many": at_most(2),
    "grid/regret": at_most(0.0005),
    "analysis/none": at_most(0.01),
    "analysis/basic": at_most(0.3),
    "thousand/planning": at_most(25),
    "thousand/planning_job": at_most(20),
    **{
        f"thousand/{part}": at_most(10)
        for part in ("end", "end_report", "results", "arms", "sweeps", "status", "report")
    },
    "thousand/growth": at_most(1.2),
    "thousand/disk": at_most(5),
    "thousand/disk_error": at_most(10),
    "parallel/two_at_once": at_least(1.8),
    "memory/images_held": at_most(1.05),
    "memory/further_job": at_most(450),
    **{f"early_stopping/{workers}/epochs": at_most(0.24) for workers in (1, 4, 16)},
    **{f"early_stopping/{workers}/regret": at_most(0.0005) for workers in (1, 4, 16)},
    **{f"early_stopping/{workers}/regret_90": at_most(0.003) for workers in (1, 4, 16)},
}
"""By ``benchmark/what``. Growth is 'none' up to the noise of a tenth; images are held once up to a twentieth; a median
regret of 0 is .000 in three digits, and 24% of the epochs are those of a median order."""
