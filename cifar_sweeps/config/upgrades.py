"""Keys that later versions have added to a config, and renamed `_target_`s: an upgrade keeps what was trained.

A sweep finds its finished jobs by a hash of their configs (`config.parse.config_hash`). Version 1 of the hash covers
all keys. A key that is simply added changes the hash of every config, so that everything would be trained again;
`tests/config/test_upgrades.py` fails then.

How to add a key, to a group of the config or to a node that is built (a new argument in ``conf/model/*.yaml``):

1. Give it a default that means what was done before the key existed, in ``conf/`` and, for an argument of a class or
   function, in its signature: a config may leave an argument out, and then has the same hash.
2. Add it to ``ADDED`` under the next version, with that value: ``2: (Added("trainer.ema", None),)``, and for an
   argument with the ``_target_`` that takes it. A config with that value has the hash that it had without the key. All
   keys of one release stand under one version; an entry is never changed or removed afterwards, even if the default in
   ``conf/`` becomes another one.
3. A whole new group is one entry, with its default as a mapping. What is added to that group later is an entry of its
   own, under a later version.

To rename a ``_target_``: keep the old name in ``RENAMED_TARGETS``; configs that name it are built and hashed as before.
New keys that cannot change a result need none of this: they belong to what `config_hash` leaves out. Keys inside lists
(such as ``model.blocks``) are not handled: leave them out of ``conf/``, and give them a default in the code.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class AddedKey(NamedTuple):
    """A key that was added. before: its value that means what was done until then.

    target: for an argument of a node that is built, the node's ``_target_``; other targets' arguments of the same name
    may mean something else.
    """

    key: str
    former_default: object
    target: str | None = None


_IMAGE_FOLDER = "cifar_sweeps.data.load_image_folder"

ADDED_KEYS: dict[int, tuple[AddedKey, ...]] = {
    2: (
        AddedKey("data.source.fit", "squash", _IMAGE_FOLDER),
        AddedKey("data.source.background", "white", _IMAGE_FOLDER),
    ),
    3: (AddedKey("model.head", "torchvision", "cifar_sweeps.models.mobilenet_v2"),),
    4: (
        AddedKey("data.fold", 0),
        AddedKey("data.folds", 5),
        AddedKey("data.whitening", None),
        AddedKey("data.whitening_epsilon", 1e-6),
        AddedKey("augmentation.zoom", 0.0, "cifar_sweeps.data.RotateShiftFlip"),
        AddedKey("augmentation.vertical_flip", False, "cifar_sweeps.data.RotateShiftFlip"),
    ),
}
"""Keys by the version of the identity that came with them; version 1 is without."""

RENAMED_TARGETS: dict[str, str] = {}
"""Former names of ``_target_``s, oldest first, and what each is called today."""

_LOGGED_MODELS = {True: "all", False: "none"}
"""What ``analysis.log_model`` was before there was ``best``, and still may be: true means all, false none."""


def logged_models(value: object) -> object:
    """Return today's value of ``analysis.log_model``."""
    return _LOGGED_MODELS[value] if isinstance(value, bool) else value


def with_current_values(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with values of earlier versions as they are called today, in keys without effect on a result."""
    analysis = plain.get("analysis")
    if not isinstance(analysis, Mapping) or "log_model" not in analysis:
        return dict(plain)
    return {**plain, "analysis": {**analysis, "log_model": logged_models(analysis["log_model"])}}


def current_target(name: str) -> str:
    """Return today's name of a ``_target_``."""
    return RENAMED_TARGETS.get(name, name)


def without_added_keys(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config without the keys added since version 1 that have their former meaning; others stay."""
    found = dict(plain)
    for version in sorted(ADDED_KEYS, reverse=True):  # what was added to an added group goes before the group itself
        for added in ADDED_KEYS[version]:
            found = _without(found, added.key.split("."), added)
    first_names = {now: former for former, now in reversed(RENAMED_TARGETS.items())}
    return {key: _with_first_names(value, first_names) for key, value in found.items()}


def with_added_keys(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config that an earlier version recorded with the keys added since, at their former meaning."""
    found = dict(recorded)
    for version in sorted(ADDED_KEYS):
        for added in ADDED_KEYS[version]:
            found = _with(found, added.key.split("."), added)
    return found


def _without(node: Mapping[str, Any], path: Sequence[str], added: AddedKey) -> dict[str, Any]:
    key, *deeper = path
    rest = dict(node)
    if key not in node:
        return rest
    if deeper and isinstance(node[key], Mapping):
        rest[key] = _without(node[key], deeper, added)
        if not rest[key] and node[key]:  # a group that is new as a whole
            del rest[key]
    elif not deeper and node[key] == added.former_default and _applies(node, added):
        del rest[key]
    return rest


def _with(node: Mapping[str, Any], path: Sequence[str], added: AddedKey) -> dict[str, Any]:
    key, *deeper = path
    if not deeper:
        return {key: added.former_default, **node} if _applies(node, added) else dict(node)
    inner = node.get(key, {})
    if not isinstance(inner, Mapping):
        return dict(node)
    inner = _with(inner, deeper, added)
    return {**node, key: inner} if inner else dict(node)


def _applies(node: Mapping[str, Any], added: AddedKey) -> bool:
    return added.target is None or current_target(str(node.get("_target_"))) == current_target(added.target)


def _with_first_names(value: object, names: Mapping[str, str]) -> object:
    if isinstance(value, Mapping):
        renamed = {key: _with_first_names(entry, names) for key, entry in value.items()}
        if isinstance(target := renamed.get("_target_"), str):
            name = current_target(target)
            renamed["_target_"] = names.get(name, name)
        return renamed
    return [_with_first_names(entry, names) for entry in value] if isinstance(value, list) else value
