"""One run with Keras on TensorFlow's CPU build, fp32: the documents' nets and optimizers, images in memory.

python tests/benchmarks/peers/keras_tf.py --data DATA.npz --net model_3 --seed 0 --out FOLDER
Requirements: tensorflow-cpu>=2.18 keras>=3 numpy  (pip install, in an environment of its own)
`python -m tests.benchmarks sweep` measures it too where BENCHMARK_KERAS_PYTHON names that environment's python.
"""

import argparse
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
from keras import layers


def _conv(filters: int, size: int, activation: str, l2: float = 0.0) -> layers.Layer:
    penalty = keras.regularizers.L2(l2) if l2 else None
    return layers.Conv2D(filters, size, padding="same", activation=activation, kernel_regularizer=penalty)


def _leaky(filters: int) -> list[layers.Layer]:
    return [layers.Conv2D(filters, 3, padding="same"), layers.LeakyReLU(negative_slope=0.1)]


def model_3() -> tuple[list[layers.Layer], keras.optimizers.Optimizer]:
    """Document 001's model 3."""
    net = [
        *_leaky(16), *_leaky(32), layers.MaxPooling2D(), layers.Dropout(0.25),
        *_leaky(32), *_leaky(64), layers.MaxPooling2D(), layers.Dropout(0.25),
        layers.Flatten(), layers.Dense(256), layers.LeakyReLU(negative_slope=0.1), layers.Dropout(0.5),
    ]  # fmt: skip
    return net, keras.optimizers.Adamax(0.001)


def lenet_3() -> tuple[list[layers.Layer], keras.optimizers.Optimizer]:
    """Document 002's model 3."""
    net: list[layers.Layer] = []
    for filters, second in ((32, 3), (64, 5), (128, 5)):
        net += [_conv(filters, 3, "relu", 1e-4), _conv(filters, second, "relu", 1e-4)]
        net += [layers.MaxPooling2D(), layers.Dropout(0.25)]
    net += [layers.Flatten(), layers.Dense(512, activation="relu"), layers.Dropout(0.4)]
    return net, keras.optimizers.Adam(0.001)


NETS = {"model_3": model_3, "lenet_3": lenet_3}


def main() -> None:
    """Train, validate each epoch, keep the best, test at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--net", choices=list(NETS), required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(arguments.seed)

    with np.load(arguments.data) as held:
        images = {part: held[f"{part}_images"].astype("float32") / 255 for part in ("train", "val", "test")}
        labels = {part: held[f"{part}_labels"] for part in images}
    hidden, optimizer = NETS[arguments.net]()
    net = keras.Sequential([keras.Input((32, 32, 3)), *hidden, layers.Dense(10, activation="softmax")])
    net.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    net.fit(
        images["train"],
        labels["train"],
        batch_size=arguments.batch_size,
        epochs=arguments.epochs,
        validation_data=(images["val"], labels["val"]),
        callbacks=[keras.callbacks.ModelCheckpoint(arguments.out / "best.keras", "val_accuracy", save_best_only=True)],
        verbose=2,
    )
    net.evaluate(images["test"], labels["test"], batch_size=arguments.batch_size, verbose=2)


if __name__ == "__main__":
    main()
