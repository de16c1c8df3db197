"""One run with Lightning and its MLFlowLogger: the same nets, transforms and optimizers as plain_torch.py.

python tests/benchmarks/peers/lightning_mlflow.py --data DATA.npz --net model_3 --seed 0 --workers 2 --out FOLDER
Requirements: torch torchvision numpy lightning>=2.5 mlflow>=3  (pip install, in an environment of its own)
`python -m tests.benchmarks sweep` measures it too where BENCHMARK_LIGHTNING_PYTHON names that environment's python.
"""

import argparse
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import MLFlowLogger
from plain_nets import NETS, make
from plain_torch import sets_of
from torch import Tensor, nn
from torch.utils.data import DataLoader


class Classifier(lightning.LightningModule):
    """A net that logs loss and accuracy by epoch."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net, self.its_optimizer = make(name)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return self._step("train", batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        self._step("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._step("test", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return self.its_optimizer

    def _step(self, part: str, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = batch
        logits = self.net(images)
        loss = nn.functional.cross_entropy(logits, labels)
        accuracy = (logits.argmax(1) == labels).float().mean()
        self.log_dict({f"{part}/loss": loss, f"{part}/accuracy": accuracy}, on_step=False, on_epoch=True)
        return loss


def main() -> None:
    """Train, validate each epoch, test at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--net", choices=list(NETS), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    lightning.seed_everything(arguments.seed)

    loaders = {
        part: DataLoader(
            images,
            batch_size=arguments.batch_size,
            shuffle=part == "train",
            num_workers=arguments.workers,
            persistent_workers=arguments.workers > 0,
        )
        for part, images in sets_of(arguments.data).items()
    }
    model = Classifier(arguments.net)
    trainer = lightning.Trainer(
        max_epochs=arguments.epochs,
        accelerator="cpu",
        devices=1,
        logger=MLFlowLogger(
            experiment_name="benchmark",
            run_name=f"seed {arguments.seed}",
            tracking_uri=f"sqlite:///{arguments.out.absolute() / 'mlflow.db'}",
            log_model=True,
        ),
        callbacks=[ModelCheckpoint(arguments.out / "checkpoints", monitor="val/accuracy", mode="max")],
        enable_progress_bar=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(model, loaders["train"], loaders["val"])
    trainer.test(model, loaders["test"])


if __name__ == "__main__":
    main()
