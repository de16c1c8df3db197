"""The arms of a study: the runs that differ in nothing but their seed."""

import json
import shlex
from collections.abc import Mapping

# What can be typed for a single run without making it another arm: where it is recorded, how many cores it gets.
_WITHOUT_EFFECT = ("seed", "study", "study_name", "outputs", "trainer.threads", "trainer.device", "data.root")
_GROUPS_WITHOUT_EFFECT = ("tracking", "hydra", "sweep", "analysis")


def swept_values(tags: Mapping[str, str], prefix: str, name: str) -> dict[str, str]:
    """Return which keys a run's sweep varied, and this run's values of them; the seed is among them if it was swept.

    A run of a sweep from before the tag ``swept`` has them in its name; a single run has what was typed for it.
    """
    recorded = tags.get(f"{prefix}swept")
    if recorded is not None:
        try:
            return {str(key): _text(value) for key, value in json.loads(recorded).items()}
        except (ValueError, AttributeError):  # cut by MLflow's limit, or not ours
            return _pairs(name)
    if tags.get("mlflow.parentRunId"):
        return _pairs(name)
    typed = _pairs(tags.get(f"{prefix}overrides", ""))
    return {key: value for key, value in typed.items() if not _is_without_effect(key)}


def arm_name(swept: Mapping[str, str], otherwise: str) -> str:
    """Return the short name of an arm: the experiment bare, other values with the last part of their key.

    otherwise: the name of an arm of which nothing but the seed was swept.
    """
    words = [
        value if key == "experiment" else f"{key.rsplit('.', 1)[-1]}={value}"
        for key, value in sorted(swept.items(), key=lambda pair: pair[0] != "experiment")
        if key != "seed"
    ]
    return " ".join(words) or otherwise


def equal_values(recorded: str | None, wanted: object) -> bool:
    """Whether a recorded value is the one that a claim names; numbers compare as numbers (1e-4 is 0.0001)."""
    if recorded is None:
        return False
    text = _text(wanted)
    if recorded.strip().lower() == text.lower():
        return True
    try:
        return float(recorded) == float(text)
    except ValueError:
        return False


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) or value is None else str(value)


def _pairs(line: str) -> dict[str, str]:
    try:
        words = shlex.split(line)
    except ValueError:  # a quote without its partner
        words = line.split()
    stated = (word.lstrip("+").partition("=") for word in words if "=" in word)
    return {key: value for key, _, value in stated}


def _is_without_effect(key: str) -> bool:
    return key in _WITHOUT_EFFECT or key.split(".")[0].split("/")[0] in _GROUPS_WITHOUT_EFFECT
