"""One run as the documents' PyTorch code is: data set of PIL images with transforms, DataLoader, eager fp32, all cores.

python tests/benchmarks/peers/plain_torch.py --data DATA.npz --net model_3 --seed 0 --workers 2 --out FOLDER
Requirements: torch, torchvision, numpy (those of cifar_sweeps will do)
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from plain_nets import NETS, make
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Images(Dataset[tuple[Tensor, int]]):
    """In memory, as torchvision's CIFAR10 keeps its images: arrays, each made a PIL image when it is asked for."""

    def __init__(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        self.images, self.labels = images, labels.tolist()
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def sets_of(path: Path) -> dict[str, Images]:
    """Read the three parts."""
    with np.load(path) as held:
        return {part: Images(held[f"{part}_images"], held[f"{part}_labels"]) for part in ("train", "val", "test")}


def evaluate(net: nn.Module, loader: DataLoader[tuple[Tensor, int]]) -> tuple[float, float]:
    """Return loss and accuracy."""
    net.eval()
    loss, hits, count = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            logits = net(images)
            loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
            hits += (logits.argmax(1) == labels).sum().item()
            count += len(labels)
    return loss / count, hits / count


def main() -> None:
    """Train, validate each epoch, keep the best, test at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--net", required=True, help=f"{', '.join(NETS)}, or an arm such as plain_3/sgd/0.1/none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(arguments.seed)

    loaders = {
        part: DataLoader(
            images, batch_size=arguments.batch_size, shuffle=part == "train", num_workers=arguments.workers
        )
        for part, images in sets_of(arguments.data).items()
    }
    net, optimizer = make(arguments.net)
    criterion, best = nn.CrossEntropyLoss(), 0.0
    for epoch in range(1, arguments.epochs + 1):
        net.train()
        running, hits, count = 0.0, 0, 0
        for images, labels in loaders["train"]:
            optimizer.zero_grad()
            logits = net(images)
            loss = criterion(logits, labels)
            loss.backward()
            optimizer.step()
            running += loss.item() * len(labels)
            hits += (logits.argmax(1) == labels).sum().item()
            count += len(labels)
        val_loss, val_accuracy = evaluate(net, loaders["val"])
        print(f"epoch {epoch}: train {running / count:.3f} {hits / count:.3f} val {val_loss:.3f} {val_accuracy:.3f}")
        if val_accuracy > best:
            best = val_accuracy
            torch.save(net.state_dict(), arguments.out / "best.pt")
        torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, arguments.out / "last.pt")
    test_loss, test_accuracy = evaluate(net, loaders["test"])
    print(f"test {test_loss:.3f} {test_accuracy:.3f}")


if __name__ == "__main__":
    main()
