"""Name the arms of a study: an arm is all runs that differ only in their seed."""

import json
import shlex
from collections.abc import Mapping

from cifar_sweeps.config.parse import is_place, is_without_effect

_NOT_OF_AN_ARM = ("seed", "study", "trainer.threads", "trainer.device")
"""Overrides of a single run that do not give its arm another name, besides those without effect on the result."""

STAGED = "not_as_at_once"
"""Tag of a run that was made longer in a way that training it at once does not repeat; says why."""


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
    found = {key: value for key, value in overrides.items() if not _is_without_effect(key)}
    if tags.get(f"{prefix}{STAGED}"):  # of the same config as a run of its length, and not the same training
        found["extended_after"] = tags.get(f"{prefix}extended_after", "")
    return found


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
    return key in _NOT_OF_AN_ARM or (is_without_effect(key) and key != "budget") or is_place(key)
