"""The description of a run on MLflow's page: what was trained, what came out, its pictures, how to repeat it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from cifar_sweeps.config.parse import flatten
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.tracking.page_links import PARENT, code, link, run_page

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
) -> str:
    """Return a run's description, in Markdown.

    about: lines on its images, its size and its machine. command: repeats it. tags: by their short names; of a sweep's
    job they name the sweep. outcome: in a line; empty while it trains. artifacts: the places of those that it has.
    history: parts on the run that it made longer, in Markdown.
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
        f"**Repeat it**: {code(command)}",
    ]
    return "\n\n".join(filter(None, parts))


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
