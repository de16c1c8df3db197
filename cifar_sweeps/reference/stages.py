"""What is trained for the reference: each study at a length at which its nets reach the range of its document."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One sweep of the reference. arms: of the study's; empty for all of them. why: of this length."""

    study: str
    overrides: tuple[str, ...]
    why: str
    arms: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """The overrides of the whole sweep."""
        chosen = [f"experiment={','.join(self.arms)}"] if self.arms else []
        return [f"study={self.study}", *chosen, *self.overrides]


def _arms(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names)


_LENET = _arms("lenet_report", "model_3", "l2_0", "l2_5e-5", "l2_5e-4", "l2_5e-2", "dropout", "l2_dropout", "final")
# 12 of 35 epochs on each of four parts of 10,000 images.
_TWELVE = ("budget=reference", "budget.epochs=0.342857")

STAGES = (
    Stage(
        "case_study", ("seed=0,1,2,3,4",), "full length: cheap", _arms("case_study", "model_1", "model_2", "model_3")
    ),
    Stage("augmentation", ("seed=0,1,2,3,4",), "full length, with its control: cheap"),
    Stage("training_length", ("seed=0,1",), "full length, 200 epochs of 40,000 images: its question is the length"),
    Stage("depth", (*_TWELVE, "seed=0,1,2"), "12 epochs on each part: augmentation and a third block show by then"),
    Stage(
        "regularization",
        (*_TWELVE, "trainer.parts=4", "seed=0,1,2"),
        "12 epochs on each part: overfitting shows by then",
        _LENET,
    ),
    Stage(
        "architectures",
        ("seed=0",),
        "full length",
        _arms("keras_lesson", "conv_pairs", "resnet18"),
    ),
    Stage(
        "architectures",
        ("budget=reference", "budget.epochs=0.5", "seed=0"),
        "10 of 20 epochs: the printed curves are compared by epoch",
        _arms("keras_lesson", "small_resnet", "mobilenet_v2"),
    ),
    Stage(
        "kernel_size",
        ("budget=reference", "budget.epochs=0.16", "data.train_size=10000", "trainer.batch_size=64", "seed=0,1,2"),
        "8 of 50 epochs of 10,000 images in batches of 64, a departure: the documents' widths are out of a CPU's reach",
        _arms("keras_lesson/kernel_size", *(f"f64_64_128_{each}" for each in ("k3", "k5", "k7", "k357"))),
    ),
    Stage(
        "improvements",
        ("budget=reference", "budget.epochs=0.15", "data.train_size=20000", "seed=0,1"),
        "30 of 200 epochs of 20,000 images: the document only suggests",
    ),
    Stage(
        "transfer",
        ("data.train_fraction=0.05,0.2", "seed=0,1,2"),
        "10 epochs of 2,250 and 9,000 images",
        _arms("transfer", "lite0_x2_stage4", "lite0_x2_top", "lite0_x1_top", "scratch"),
    ),
    Stage("training_length", ("seed=2",), "a third seed at full length"),
    Stage(
        "regularization",
        ("trainer.parts=4", "seed=0"),
        "full length: levels are claimed of it",
        _arms("lenet_report", "l2_0", "dropout", "l2_dropout", "final"),
    ),
    Stage(
        "kernel_size",
        ("budget=reference", "budget.epochs=0.02", "seed=0"),
        "one epoch of the document's widths: its cost",
        _arms("keras_lesson/kernel_size", "f64_128_512_k3", "f64_128_512_k357"),
    ),
)
"""In the order in which they are trained: what decides most for its time comes first."""
