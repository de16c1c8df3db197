"""Claims, published figures and assumptions as their files have them now, in place of what the runs recorded."""

import copy
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cifar_sweeps.config.budget import scale_claim_epochs
from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import ConfigError
from cifar_sweeps.studies.claims import read_claims
from cifar_sweeps.studies.study import StudyRun, SweepRun
from cifar_sweeps.studies.validity.comparability import experiment_of, is_whole
from cifar_sweeps.system.files import is_inside

Configs = Mapping[str, dict[str, Any]]


def with_current_claims(configs: Configs, sweeps: Sequence[SweepRun]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the arms' configs with the claims of the study's file as it is now, and a line if they have changed.

    configs: one per arm, as recorded. sweeps: whose command names the study and the folder of its file.
    Raises ConfigError if the file cannot be read.
    """
    recorded = {arm: dict(config) for arm, config in configs.items()}
    file, name = _study_file(sweeps)
    if not name or (not any(config.get("claims") for config in configs.values()) and file is None):
        return recorded, []
    if file is None:
        return recorded, [f"The file of study={name} is gone; claims are judged as the runs recorded them."]
    claims = _entries(file, "claims")
    if claims is None:  # it has them from another file, which it includes
        return recorded, []
    changed = False
    for config in recorded.values():
        now = scale_claim_epochs(copy.deepcopy(claims), config)
        changed = changed or read_claims(now) != read_claims(config.get("claims"))
        config["claims"] = now
    return recorded, [f"Claims are judged as {file} is now; it has changed since the sweep."] if changed else []


def with_current_published(
    configs: Configs, runs: Sequence[StudyRun], sweeps: Sequence[SweepRun]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the arms' configs with the published figures and assumptions of their files as they are now.

    And one line that names the arms whose files have changed in them since, and one of those whose files are gone. A
    study's file that has either of them itself comes first, as in a run. configs: one per arm, as recorded; what an
    override set, or a damaged config has, stays. Raises ConfigError if a file cannot be read.
    """
    current = {arm: dict(config) for arm, config in configs.items()}
    study_file, _ = _study_file(sweeps)
    newest = {run.arm: run for run in runs}
    changed, gone = [], []
    for arm, config in current.items():
        run = newest.get(arm)
        experiment = None if run is None else experiment_of(run)
        if run is None or experiment is None or not is_whole(config):
            continue
        file = _find("experiment", experiment, run.tag("config_dir"))
        if file is None:
            gone.append(arm)
            continue
        before = _documented(config)
        for key in _OF_DOCUMENTS:
            entries = (study_file and _entries(study_file, key)) or _entries(file, key)
            if entries is not None and not _is_overridden(run, sweeps, key):
                config[key] = scale_claim_epochs(copy.deepcopy(entries), config) if key == "published" else entries
        if _documented(config) != before:
            changed.append(arm)
    told = "Published figures and assumptions are shown as"
    lines = [f"{told} the arms' files have them now; changed since the sweep: {', '.join(changed)}."] if changed else []
    return current, [*lines, *([f"{told} recorded, as the files are gone: {', '.join(gone)}."] if gone else [])]


_OF_DOCUMENTS = ("published", "assumptions")
"""Keys of an arm's file that say what its document printed and left open; no run depends on them."""


def _documented(config: Mapping[str, Any]) -> list[object]:
    """Return what a config has of a document, without what only an older or newer schema adds."""
    return [
        {name: value for name, value in entry.items() if value is not None and (name, value) != ("first_epoch", 1)}
        if isinstance(entry, Mapping)
        else entry
        for key in _OF_DOCUMENTS
        for entry in config.get(key) or ()
    ]


def _is_overridden(run: StudyRun, sweeps: Sequence[SweepRun], key: str) -> bool:
    lines = [run.tag("overrides") or "", *(sweep.overrides for sweep in sweeps)]
    return any(word.lstrip("+~").partition("=")[0] == key for line in lines for word in line.split())


def _find(group: str, name: str, config_dir: str | None) -> Path | None:
    folders = [*([Path(config_dir)] if config_dir else []), conf_folder()]
    files = [folder / group / f"{name}.yaml" for folder in folders]
    # A record may be another user's: no name leads out of its folder.
    inside = (file for file, folder in zip(files, folders, strict=True) if is_inside(file, folder / group))
    return next((file for file in inside if file.is_file()), None)


def _study_file(sweeps: Sequence[SweepRun]) -> tuple[Path | None, str]:
    """Return the file of the newest sweep's study, None if it is gone, and the study's name; "" without one."""
    for sweep in reversed(sweeps):
        try:
            overrides = shlex.split(sweep.overrides)
        except ValueError:  # cut at what MLflow keeps
            overrides = sweep.overrides.split()
        named = [line.partition("=")[2] for line in overrides if line.lstrip("+").startswith("study=")]
        if not named or any(line.lstrip("+").startswith("claims") for line in overrides):
            continue
        return _find("study", named[-1], sweep.config_dir), named[-1]
    return None, ""


_CHOSEN = ("{'override ", "_self_")
"""How entries of a defaults list begin that choose an option of a group, and include no other file of the documents."""


def _entries(file: Path, key: str) -> list[Any] | None:
    """Return a list of a file; None where the file has it from another one, which it includes.

    Raises ConfigError if it cannot be read, or is no list.
    """
    try:
        content = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    except (OmegaConfBaseException, OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "yaml":
            raise
        raise ConfigError(f"{file}: is not valid YAML: {' '.join(str(error).split())}") from error
    content = content if isinstance(content, dict) else {}
    entries = content.get(key)
    if entries is None:
        included = [entry for entry in content.get("defaults") or () if not str(entry).startswith(_CHOSEN)]
        return None if included else []
    if not isinstance(entries, list):
        raise ConfigError(f"{file}: {key} must be a list")
    return [entry for entry in entries if isinstance(entry, dict) or key == "assumptions"]
