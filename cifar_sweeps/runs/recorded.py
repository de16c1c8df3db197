"""Read a recorded run again: its overrides, its command, its config as this machine can use it, its images."""

import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cifar_sweeps.config import build
from cifar_sweeps.config.compose import compose
from cifar_sweeps.config.hydra_messages import quote
from cifar_sweeps.config.parse import from_dict
from cifar_sweeps.config.schema import RunConfig
from cifar_sweeps.config.upgrades import with_added_keys
from cifar_sweeps.data.dataset import ImageData, Progress
from cifar_sweeps.errors import DataError, TrackingError, in_one_line
from cifar_sweeps.system.files import is_inside, safe_load_yaml
from cifar_sweeps.system.scripts import shell_command
from cifar_sweeps.tracking import mlflow_api
from cifar_sweeps.tracking.recorded_run import RecordedRun
from cifar_sweeps.tracking.store import Store


def recorded_overrides(original: RecordedRun) -> list[str]:
    """Return the overrides that repeat a run: its own, its threads and its precision.

    The latter two change sums in their last digits, and may have been chosen by the machine. Raises TrackingError if
    they are not recorded.
    """
    recorded, threads, precision = original.tag("overrides"), original.tag("threads"), original.tag("precision")
    if recorded is None or threads is None or precision is None:
        raise TrackingError(f"{original.run_id} ({original.name}): was not recorded by cifar-train; choose another run")
    try:
        overrides = shlex.split(recorded)
    except ValueError:  # cut off within quotes by MLflow's limit
        raise TrackingError(
            f"{original.run_id} ({original.name}): its recorded overrides are cut off; see its config.yaml"
        ) from None
    refused = [override for override in overrides if not _is_repeatable(override)]
    if refused:
        raise TrackingError(
            f"{original.run_id} ({original.name}): its override {refused[0]!r} is not repeated from a record: flags, "
            "Hydra's own keys and resolvers can do more than train; if you trust it, run the command yourself"
        )
    return [*overrides, f"trainer.threads={threads}", f"trainer.precision={precision}"]


def repeat_command(original: RecordedRun, more: Sequence[str] = ()) -> str:
    """Return the command that trains a recorded run again by itself. more: further overrides.

    Of a run that was made longer, in a way that training it at once does not repeat, it makes the shorter run longer.
    """
    if original.tag("not_as_at_once"):  # no cifar-train trains it
        return extend_command(original.tag("extends") or "", [*_extended_with(original), *more])
    overrides = [*recorded_overrides(original), *more]
    config_dir = original.tag("config_dir")
    own_files = ["--config-dir", config_dir] if config_dir else []
    single = ["hydra.mode=RUN"] if any(each.startswith("study=") for each in overrides) else []
    return shell_command("cifar-train", [*own_files, *overrides, *single])


def _extended_with(original: RecordedRun) -> list[str]:
    try:
        return shlex.split(original.tag("extended_with") or "")
    except ValueError:  # cut off within quotes by MLflow's limit
        return ["…"]


def extend_command(run_id: str, overrides: Sequence[str]) -> str:
    """Return the command that makes a run longer."""
    return shell_command("cifar-sweeps", ["extend", run_id[:8], *overrides])


def compose_anew(overrides: Sequence[str], original: RecordedRun, store: Store) -> RunConfig:
    """Compose a run's config from its config files, for this machine's outputs and store. Raises ConfigError.

    overrides: all of them.
    """
    config_dir = original.tag("config_dir")
    composed = compose(
        [*overrides, f"outputs={quote(str(store.outputs))}"], None if config_dir is None else Path(config_dir)
    )
    tracking = {**composed.as_dict["tracking"], "uri": store.uri}
    return from_dict({**composed.as_dict, "tracking": tracking})


def _is_repeatable(override: str) -> bool:
    """Return whether a recorded override only sets the training: the record may be another user's."""
    key, _, value = override.lstrip("+~").partition("=")
    resolves = "${" in value and ":" in value  # ${oc.env:TOKEN} would be read here and sent to the store
    return override.isprintable() and not override.startswith("-") and not resolves and key.split(".")[0] != "hydra"


def recorded_config(original: RecordedRun, store: Store) -> dict[str, Any]:
    """Return a run's recorded config as a nested dict. Raises TrackingError if there is none."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = store.client().download_artifacts(original.run_id, "config.yaml", folder)
            config_dict = safe_load_yaml(Path(path))
    except (mlflow_api.MlflowException, OSError, ValueError) as error:
        raise TrackingError(
            f"{original.run_id} ({original.name}): its config.yaml cannot be read ({in_one_line(error)}); "
            f"repeat it yourself: {repeat_command(original)}"
        ) from error
    if not isinstance(config_dict, dict):
        raise TrackingError(f"{original.run_id} ({original.name}): its config.yaml is not a config")
    return config_dict


def localized_config(
    config_dict: Mapping[str, Any], original: RecordedRun, store: Store, own_cache: str | None = None
) -> dict[str, Any]:
    """Return a recorded config with this machine's outputs folder, and the recorded threads and precision.

    own_cache: a folder of decoded images that this command itself was told to use, wherever it lies.
    """
    then, now = str(config_dict.get("outputs", "")), str(store.outputs)

    def relocate(value: object) -> object:
        if isinstance(value, Mapping):
            return {key: relocate(entry) for key, entry in value.items()}
        if isinstance(value, str) and then and value.startswith(f"{then}/"):
            return now + value[len(then) :]
        return value

    default = compose([]).as_dict
    config = fill_missing_keys(with_added_keys({key: relocate(value) for key, value in config_dict.items()}), default)
    # The record may be another user's: it must not choose where this machine writes, downloads and records to.
    config |= {"outputs": now, "tracking": _local_tracking(config, store)}
    config["data"] = confined_source(config.get("data"), Path(now), default["data"]["source"]["cache"], own_cache)
    threads, precision = original.tag("threads"), original.tag("precision")
    if isinstance(config.get("trainer"), dict) and threads and precision:
        config["trainer"] |= {"threads": int(threads), "precision": precision}
    return config


def _local_tracking(config: Mapping[str, Any], store: Store) -> dict[str, Any]:
    tracking = config.get("tracking")
    return {**tracking, "uri": store.uri} if isinstance(tracking, Mapping) else {"backend": "mlflow", "uri": store.uri}


def confined_source(
    data: Any,  # noqa: ANN401 (whatever was recorded)
    outputs: Path,
    cache: str,
    own_cache: str | None = None,
) -> Any:  # noqa: ANN401 (likewise)
    """Return a recorded data node with its cache and downloads confined to the outputs folder, or to our own cache."""
    if not isinstance(data, Mapping) or not isinstance(data.get("source"), Mapping):
        return data  # the schema reports the error
    source = dict(data["source"])
    is_own = own_cache is not None and source.get("cache") == own_cache
    if "cache" in source and not is_own and not is_inside(str(source["cache"]), outputs):
        source["cache"] = cache
    if "download" in source and not is_inside(str(source.get("root")), outputs):
        source["download"] = False
    return {**data, "source": source}


def fill_missing_keys(recorded: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recorded config with the keys that the schema has gained since, at their defaults.

    A default keeps the behaviour from before the key existed. Nodes with a ``_target_`` are not changed.
    """
    found = dict(recorded)
    for key, value in default.items():
        node = found.get(key)
        if key not in found:
            found[key] = value
        elif isinstance(node, Mapping) and isinstance(value, Mapping) and "_target_" not in node and "name" not in node:
            found[key] = fill_missing_keys(node, value)
    return found


def recorded_images(config: RunConfig, original: RecordedRun, progress: Progress | None = None) -> ImageData:
    """Load the images that a run was trained on. Raises DataError if the config's data are others now."""
    recorded, found = original.tag("data_fingerprint"), build.images(config, progress)
    if recorded is not None and recorded != found.fingerprint:
        raise DataError(
            f"{found.name}: not the recorded images (fingerprint {found.fingerprint}, recorded {recorded}); "
            "use the same data set in the same order (data.root=…)"
        )
    return found
