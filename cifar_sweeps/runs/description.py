"""The description of a run on MLflow's page: what was trained, what came out, its pictures, how to repeat it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from cifar_sweeps.config.parse import flatten
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.system.scripts import needed_environment, recorded_command
from cifar_sweeps.tracking.page_links import MODEL_NAME, PARENT, RUN, code, link, run_page
from cifar_sweeps.tracking.store_uri import configured_uri, is_mlflows_own

_PICTURES = (".png", ".html")


def describe_run(
    config: RunConfig,
    name: str,
    about: Sequence[str],
    command: str,
    tags: Mapping[str, str],
    outcome: str = "",
    artifacts: Sequence[str] = (),
    history: Sequence[str] = (),
    model: str = "",
) -> str:
    """Return a run's description, in Markdown.

    about: lines on its images, its size and its machine. command: repeats it. tags: by their short names; of a sweep's
    job they name the sweep. outcome: in a line; empty while it trains. artifacts: the places of those that it has.
    history: parts on the run that it made longer, in Markdown. model: see `model_line`.
    """
    pictures = [
        link(PurePosixPath(place).stem.replace("_", " "), run_page(artifact=place))
        for place in artifacts
        if place.endswith(_PICTURES)
    ]
    parts = [
        " · ".join([_place(name, tags), *pictures]),  # first: of a folded description only these links can be clicked
        f"**Result**: {outcome}" if outcome else "",
        f"**Trained**: {'; '.join(_settings(config))}. {' · '.join(about)}",
        *history,
        model,
        f"**Repeat it**: {code(command)}",
    ]
    return "\n\n".join(filter(None, parts))


_MODEL = "**Model**: "


def model_line(config: RunConfig, has_model: bool) -> str:
    """Return, in Markdown, how a finished run's model is loaded, or made where it has none; empty if it has no store.

    has_model: whether it has logged one for ``mlflow.pyfunc``.
    """
    if config.tracking.backend == "none":
        return ""
    if has_model:
        return f"{_MODEL}{code(load_call(RUN))}"
    environment = needed_environment((), config.outputs, configured_uri(config.tracking.uri, config.outputs))
    command = recorded_command("cifar-sweeps", ["export", "--format", "mlflow"], environment)
    return f"{_MODEL}none for mlflow.pyfunc yet; {code(f'{command} {RUN}')} makes it"


def with_model(description: str, run_id: str) -> str:
    """Return a run's description once its model has been logged after its end."""
    lines = [
        f"{_MODEL}{code(load_call(run_id))}" if each.startswith(_MODEL) else each for each in description.split("\n")
    ]
    return "\n".join(lines)


def load_call(run_id: str) -> str:
    """Return the call, in Python, that loads a run's model."""
    return f'mlflow.pyfunc.load_model("runs:/{run_id}/{MODEL_NAME}")'


def loading_lines(model_call: str, uri: str) -> list[str]:
    """Return the lines, in Python, that load a model: MLflow is told first where the store is, unless it knows.

    uri: the store's.
    """
    return [
        "import mlflow" if is_mlflows_own(uri) else f"import mlflow; mlflow.set_tracking_uri({uri!r})",
        f"model = {model_call}",
    ]


def _place(name: str, tags: Mapping[str, str]) -> str:
    sweep_id = tags.get("sweep_id")
    if sweep_id is None:
        return code(name)
    return f"Job {tags.get('job', '?')} of {link(f'sweep {sweep_id}', run_page(run_id=PARENT))}"


def _settings(config: RunConfig) -> Iterator[str]:
    """Yield a config in words: the network, how it is optimized, what regularizes it, how long."""
    yield f"network {_named(config.model['_target_'])}, kernel size {config.kernel_size.conv}"
    yield f"{_named(config.optimizer['_target_'])}, learning rate {config.optimizer.get('lr', 'its default')}"
    strengths = flatten(config.as_dict.get("regularization", {}))
    used = [f"{key} {value}" for key, value in strengths.items() if value not in ("0", "0.0", "None")]
    yield f"regularization {', '.join(used)}" if used else "no regularization"
    batch = f"batches of {config.trainer.batch_size}"
    yield f"{config.total_epochs} epochs, {batch}, seed {config.seed}"


def _named(target: object) -> str:
    return str(target).rpartition(".")[2]
