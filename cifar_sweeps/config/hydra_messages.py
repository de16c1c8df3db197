"""Explain Hydra's and OmegaConf's composition errors: what arrived, what is allowed, what to do."""

from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import did_you_mean

_AROUND_PARSING = ("Error when parsing index", "Error parsing override", "See https:")
"""Lines around the parser's: 1.4 repeats all overrides ahead of it, both name the override and their manual."""


def explain_composition_error(error: BaseException) -> str:
    """Return a composition error as one clear message, without Hydra's advice to add ``+``, which would hide a typo."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        options = [str(name) for name in error.options or []]
        if options:
            return f"{group}={option}: unknown option; {group} has {', '.join(options)}{did_you_mean(option, options)}"
        # Hydra lists the options of a plain group alone; an experiment's name has a folder in it.
        group, _, option = str(error.missing_cfg_file).partition("/")
        folder = conf_folder() / group
        names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
        guess = did_you_mean(option, names) or f"; {group} has {', '.join(names)}"
        return f"{group}={option}: unknown option{guess}"
    cause = error.__cause__
    if isinstance(error, ConfigCompositionException) and isinstance(cause, ConfigAttributeError | ConfigKeyError):
        keys = [str(key) for key in cause.parent_node or {} if key != "hydra"]
        parent = str(cause.full_key).rpartition(".")[0] or "the config"
        has = f"{parent} has {', '.join(keys)}" if keys else f"{parent} holds no keys"
        guess = did_you_mean(str(cause.key), keys) or _elsewhere(str(cause.key), cause.parent_node)
        return f"{cause.full_key}: unknown key; {has}{guess}"
    if isinstance(error, OverrideParseException):
        lines = [line for line in str(error.message).splitlines() if not line.startswith(_AROUND_PARSING)]
        what = (lines or ["no override"])[0].partition(" expecting ")[0]  # the parser's own names follow
        return (
            f"{error.override}: cannot be read as an override ({what}); "
            "write key=value, and quote for the shell what holds spaces, commas or brackets: 'key=[3,5]'"
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if isinstance(error, AttributeError | TypeError):  # what OmegaConf stumbles over when it merges an override
        named = [line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")]
        return f"{(*named, 'the config')[0]}: the override does not fit what stands there ({lines[0]})"
    if lines and lines[0].startswith("Ambiguous value for argument"):
        override = lines[0].split("'")[1]
        key, _, values = override.partition("=")
        return f"{override}: is several values; add -m to sweep over them, or write '{key}=[{values}]' for one list"
    if isinstance(cause, OmegaConfBaseException):
        lines += [str(cause).splitlines()[0]]
    return " ".join(lines)


def _elsewhere(key: str, node: object, path: str = "") -> str:
    """Return ``; did you mean 'optimizer.lr'?`` for ``lr``, a key that stands deeper in the config."""
    if not isinstance(node, DictConfig):
        return ""
    for name in map(str, node):
        if name == "hydra":
            continue
        if name == key and path:
            return f"; did you mean {path + key!r}?"
        if not OmegaConf.is_interpolation(node, name) and not OmegaConf.is_missing(node, name):
            found = _elsewhere(key, node[name], f"{path}{name}.")
            if found:
                return found
    return ""
