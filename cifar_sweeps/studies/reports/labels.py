"""Short labels of arms for figures: what all arms have in common is said once, in the legend's title."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cifar_sweeps.studies.study import StudyRun


@dataclass(frozen=True)
class ArmLabels:
    """Labels by the arms' names, all different. title: what they are values of; empty where that says itself."""

    title: str
    by_arm: Mapping[str, str]

    def cut(self, length: int) -> dict[str, str]:
        """Return the labels without the middles of those that are longer than ``length`` letters, all different.

        Where two would be the same, these stay longer.
        """
        found = {arm: _cut(label, length) for arm, label in self.by_arm.items()}
        for arm, label in self.by_arm.items():
            kept = length
            while _is_ambiguous(arm, found) and kept < len(label):
                kept += 4
                found[arm] = _cut(label, kept)
        return found


def arm_labels(runs: Sequence[StudyRun]) -> ArmLabels:
    """Return labels of the arms of these runs: the values in which they differ, without the names of the keys.

    Experiments lose the folder that all of them share. Arms that do not differ in swept keys alone keep their names.
    """
    first = {run.arm: run for run in reversed(runs)}
    arms = list(dict.fromkeys(run.arm for run in runs))
    swept = [{key: value for key, value in first[arm].swept.items() if key != "seed"} for arm in arms]
    keys = list(dict.fromkeys(key for values in swept for key in values))
    varied = [key for key in keys if len({values.get(key) for values in swept}) > 1]
    plain = all(set(values) == set(keys) for values in swept)
    if len(arms) < 2 or not varied or not plain:
        return ArmLabels("", dict(zip(arms, arms, strict=True)))
    folder = common_folder([values.get("experiment", "") for values in swept])
    labels = {}
    for arm, values in zip(arms, swept, strict=True):
        run = first[arm]
        shown = [values[key].removeprefix(folder) if key == "experiment" else values[key] for key in varied]
        brackets = ", ".join(filter(None, (run.setting, run.variant)))
        labels[arm] = " / ".join(shown) + (f" [{brackets}]" if brackets else "")
    if len(set(labels.values())) < len(labels):
        return ArmLabels("", dict(zip(arms, arms, strict=True)))
    return ArmLabels(_title(varied, folder), labels)


def _title(varied: Sequence[str], folder: str) -> str:
    names = [key.rsplit(".", 1)[-1] for key in varied if key != "experiment"]
    if "experiment" in varied:
        names.insert(varied.index("experiment"), folder.rstrip("/") or "experiment")
    return " / ".join(names)


def common_folder(experiments: Sequence[str]) -> str:
    """Return the folder that all of these experiments share, with its slash; empty if there is none."""
    if not all(experiments):
        return ""
    folders = [experiment.split("/")[:-1] for experiment in experiments]
    shared = []
    for names in zip(*folders, strict=False):
        if len(set(names)) > 1:
            break
        shared.append(f"{names[0]}/")
    return "".join(shared)


def _is_ambiguous(arm: str, labels: Mapping[str, str]) -> bool:
    return sum(label == labels[arm] for label in labels.values()) > 1


def _cut(label: str, length: int) -> str:
    # In the middle: names of arms often share their beginning and differ at their end.
    half = length // 2
    return label if len(label) <= length else f"{label[: length - half - 1]}…{label[-half:]}"
