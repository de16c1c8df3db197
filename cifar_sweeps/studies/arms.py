"""Name the arms of a study: an arm is all runs that differ only in their seed."""

import json
import shlex
from collections.abc import Mapping

# Overrides of a single run that do not make it another arm: where it is recorded, how many cores it uses.
_WITHOUT_EFFECT = ("seed", "study", "study_name", "outputs", "trainer.threads", "trainer.device", "data.root")
_GROUPS_WITHOUT_EFFECT = ("tracking", "hydra", "sweep", "analysis")


def swept_values(tags: Mapping[str, str], prefix: str, name: str) -> dict[str, str]:
    """Return the keys that a run's sweep varied, with this run's values; including the seed if it was swept.

    Older runs of a sweep have no tag ``swept``, but have them in their name. For a single run: its overrides.
    """
    recorded = tags.get(f"{prefix}swept")
    if recorded is not None:
        try:
            return {str(key): _text(value) for key, value in json.loads(recorded).items()}
        except (ValueError, AttributeError):  # cut at MLflow's limit, or set by another program
            return _parse_overrides(name)
    if tags.get("mlflow.parentRunId"):
        return _parse_overrides(name)
    overrides = _parse_overrides(tags.get(f"{prefix}overrides", ""))
    return {key: value for key, value in overrides.items() if not _is_without_effect(key)}


def arm_name(swept: Mapping[str, str], default: str) -> str:
    """Return the short name of an arm: the experiment's name, then other values with the last part of their key.

    default: the name of an arm of which only the seed was swept.
    """
    parts = [
        value if key == "experiment" else f"{key.rsplit('.', 1)[-1]}={value}"
        for key, value in sorted(swept.items(), key=lambda pair: pair[0] != "experiment")
        if key != "seed"
    ]
    return " ".join(parts) or default


def equal_values(recorded: str | None, claimed: object) -> bool:
    """Return whether a recorded value equals that of a claim; numbers compare as numbers (1e-4 is 0.0001)."""
    if recorded is None:
        return False
    text = _text(claimed)
    if recorded.strip().lower() == text.lower():
        return True
    try:
        return float(recorded) == float(text)
    except ValueError:
        return False


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) or value is None else str(value)


def _parse_overrides(line: str) -> dict[str, str]:
    try:
        overrides = shlex.split(line)
    except ValueError:  # an unclosed quote
        overrides = line.split()
    pairs = (override.lstrip("+").partition("=") for override in overrides if "=" in override)
    return {key: value for key, _, value in pairs}


def _is_without_effect(key: str) -> bool:
    return key in _WITHOUT_EFFECT or key.split(".")[0].split("/")[0] in _GROUPS_WITHOUT_EFFECT
