"""Write a network as an ONNX file or a torch.export program, and run such a file."""

import contextlib
import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cifar_sweeps.errors import ConfigError, in_one_line

Format = Literal["onnx", "torch"]
Pixels = npt.NDArray[np.uint8]
Predict = Callable[[Pixels], npt.NDArray[np.float32]]

OPSET = 18
"""Of the ONNX operators: what PyTorch's exporter writes without converting, and any runtime since 2023 reads."""
INPUT, OUTPUT = "pixels", "probabilities"
_ENTRY = "cifar_sweeps.json"
"""The file within a torch.export archive that has the metadata."""


@dataclass(frozen=True)
class ExportFormat:
    """A kind of file. ending: of its name. packages: those that write and run it, besides torch.

    write: a network that maps pixels (N, 3, H, W) uint8 to probabilities (N, C), two example images, and where to.
    load: a file as a function of pixels. add_metadata: puts texts into a file, which stays the same model.
    """

    name: Format
    ending: str
    packages: tuple[str, ...]
    write: Callable[[nn.Module, Tensor, Path], None]
    load: Callable[[Path], Predict]
    add_metadata: Callable[[Path, Mapping[str, str]], None]

    @property
    def versions(self) -> dict[str, str]:
        """The versions of what wrote and ran the file."""
        return {package: version(package) for package in ("torch", *self.packages)}

    def check_installed(self) -> None:
        """Raise ConfigError if a package is missing."""
        for package in self.packages:
            try:
                importlib.import_module(package)
            except ImportError as error:
                raise ConfigError(
                    f"--format {self.name}: needs the package {package}, which cannot be imported "
                    f"({in_one_line(error)}): pip install 'cifar-sweeps[onnx]', or use --format torch"
                ) from error


def export_format(name: str | None, out: Path | None) -> ExportFormat:
    """Return the format by its name, or by the ending of the file where no name is given.

    Raises ConfigError if there is none, or if name and ending contradict each other.
    """
    ending = "" if out is None else out.suffix.lower()
    by_ending = next((each for each in FORMATS if each.ending == ending), None)
    if name is None:
        if by_ending is None:
            raise ConfigError("--format is missing: must be onnx, torch or mlflow; or end --out in .onnx or .pt2")
        return by_ending
    by_name = next((each for each in FORMATS if each.name == name), None)
    if by_name is None:
        raise ConfigError(f"--format {name}: must be onnx, torch or mlflow")
    if by_ending not in (None, by_name):
        raise ConfigError(f"--format {name} and --out {out} contradict each other; end the name in {by_name.ending}")
    return by_name


class _Named(nn.Module):
    """Gives each weight a name with a dot in it.

    PyTorch's exporter numbers intermediate results by the operator (``mean``, ``add_1``) without a look at the weights'
    names: a buffer ``mean`` beside a global average pool makes a file that no runtime loads.
    """

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, pixels: Tensor) -> Tensor:
        probabilities: Tensor = self.classifier(pixels)
        return probabilities


def _program(net: nn.Module, example: Tensor) -> "torch.export.ExportedProgram":
    # A batch of one would be fixed in the graph; two keep the batch size dynamic.
    batch = torch.export.Dim("batch")
    with _quiet():
        return torch.export.export(_Named(net).eval(), (example,), dynamic_shapes=({0: batch},))


def _write_torch(net: nn.Module, example: Tensor, path: Path) -> None:
    with _quiet():
        torch.export.save(_program(net, example), path)


def _load_torch(path: Path) -> Predict:
    with _quiet():
        program = torch.export.load(path).module()

    def predict(pixels: Pixels) -> npt.NDArray[np.float32]:
        with torch.no_grad():
            found: npt.NDArray[np.float32] = program(torch.from_numpy(pixels)).numpy()
        return found

    return predict


def _add_to_torch(path: Path, texts: Mapping[str, str]) -> None:
    with _quiet():
        program = torch.export.load(path)
        torch.export.save(program, path, extra_files={_ENTRY: json.dumps(dict(texts), indent=1, ensure_ascii=False)})


def _write_onnx(net: nn.Module, example: Tensor, path: Path) -> None:
    program = _program(net, example)
    with _quiet():
        # Not optimized: onnxscript's fusion of batch norms gave two branches of a residual net one bias, and files
        # that predict nonsense (pytorch#166797, #169178, #174042). Runtimes optimize what they load.
        exported = torch.onnx.export(
            program,
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            external_data=False,
            verbose=False,
        )
        assert exported is not None
        exported.save(path, external_data=False)


def _load_onnx(path: Path) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors, which are raised as well
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def predict(pixels: Pixels) -> npt.NDArray[np.float32]:
        found: npt.NDArray[np.float32] = session.run([OUTPUT], {INPUT: pixels})[0]
        return found

    return predict


def _add_to_onnx(path: Path, texts: Mapping[str, str]) -> None:
    import onnx

    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.metadata_props[:]
    for key, text in texts.items():
        model.metadata_props.add(key=key, value=text)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def read_metadata(path: Path) -> dict[str, str]:
    """Return the texts that were put into a file of either format."""
    if path.suffix == ".onnx":
        import onnx

        return {entry.key: entry.value for entry in onnx.load(path, load_external_data=False).metadata_props}
    held: dict[str, Any] = {_ENTRY: ""}
    with _quiet():
        torch.export.load(path, extra_files=held)
    texts: dict[str, str] = json.loads(held[_ENTRY])
    return texts


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what PyTorch's exporters print, warn and log about their own insides; errors are raised."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


FORMATS: Sequence[ExportFormat] = (
    ExportFormat("onnx", ".onnx", ("onnx", "onnxruntime", "onnxscript"), _write_onnx, _load_onnx, _add_to_onnx),
    ExportFormat("torch", ".pt2", (), _write_torch, _load_torch, _add_to_torch),
)
