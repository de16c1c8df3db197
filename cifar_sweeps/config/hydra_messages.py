"""Explain Hydra's and OmegaConf's composition errors: what arrived, what is allowed, what to type instead."""

import fnmatch
import re
import shlex
from collections.abc import Sequence

from hydra.errors import ConfigCompositionException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from cifar_sweeps.config.parse import conf_folder
from cifar_sweeps.errors import did_you_mean

OTHER_COMMANDS = (
    *("summary", "ui", "sync", "resume", "clean", "logs", "reproduce", "extend"),
    *("studies", "sweeps", "results", "report"),
)
"""The commands of `cifar-sweeps`, which are typed after the wrong name."""
_WITH_VALUE = (
    *("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p"),
    *("--cfg", "-c", "--experimental-rerun", "--info", "-i"),
)
_FLAGS = (*_WITH_VALUE, "--help", "--hydra-help", "--version", "--resolve", "--run", "--multirun", "--shell-completion")

_AROUND_PARSING = ("Error when parsing index", "Error parsing override", "See https:")
"""Lines around the parser's: 1.4 repeats all overrides ahead of it, both name the override and their manual."""


def explain_composition_error(error: BaseException) -> str:
    """Return a composition error as one clear message, without Hydra's advice to add ``+``, which would hide a typo."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, option = str(error.missing_cfg_file).rpartition("/")
        options = [str(name) for name in error.options or []]
        if options:
            guess = did_you_mean(option, options) or "; --config-dir FOLDER adds those of your own folder"
            return f"{group}={option}: unknown option; {group} has {', '.join(options)}{guess}"
        # Hydra lists the options of a plain group alone; an experiment's name has a folder in it.
        group, _, option = str(error.missing_cfg_file).partition("/")
        folder = conf_folder() / group
        names = sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml"))
        guess = did_you_mean(option, names) or f"; {group} has {', '.join(names)}"
        if (matching := fnmatch.filter(names, option)) and set("*?[") & set(option):
            guess = f"; options are listed, by commas: {group}={','.join(matching)}"
        return f"{group}={option}: unknown option{guess}"
    cause = error.__cause__
    if isinstance(error, ConfigCompositionException) and isinstance(cause, ConfigAttributeError | ConfigKeyError):
        keys = [str(key) for key in cause.parent_node or {} if key != "hydra"]
        parent = str(cause.full_key).rpartition(".")[0] or "the config"
        has = f"{parent} has {', '.join(keys)}" if keys else f"{parent} holds no keys"
        other = _in_other_options(str(cause.full_key))
        guess = did_you_mean(str(cause.key), keys) or other or _elsewhere(str(cause.key), cause.parent_node)
        return f"{cause.full_key}: unknown key; {has}{guess}"
    if isinstance(error, OverrideParseException) and "=zip(" in str(error.override):
        return f"{error.override}: a zip makes several jobs, and this is one; give each key one value"
    if isinstance(error, OverrideParseException):
        lines = [line for line in str(error.message).splitlines() if not line.startswith(_AROUND_PARSING)]
        what = (lines or ["no override"])[0].partition(" expecting ")[0]  # the parser's own names follow
        return f"{error.override}: cannot be read as an override ({what}); {_how_to_write(str(error.override or ''))}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith("Multiple values for ") and " override " in lines[0]:
        group = lines[0].removeprefix("Multiple values for ").partition(".")[0]
        return f"{group}: is chosen already; write {group}=NAME without the + to choose another one"
    if lines and "does not support sweep type" in lines[0]:
        return unlisted_values(lines[0].rstrip("."), "KEY")
    if lines and (found := re.fullmatch(r"Config group override must be a string or a list. Got (.*)", lines[0])):
        return f"a group such as model or optimizer is chosen by name, as optimizer=adam, not by a value ({found[1]})"
    if lines and (found := re.fullmatch(r"Sweep parameters '(.*)' requires --multirun", lines[0])):
        return f"{found[1]}: is several values; add -m to sweep over them"
    if isinstance(error, AttributeError | TypeError):  # what OmegaConf stumbles over when it merges an override
        named = [line.removeprefix("full_key: ") for line in lines if line.startswith("full_key: ")]
        return f"{(*named, 'the config')[0]}: the override does not fit what stands there ({lines[0]})"
    if lines and lines[0].startswith("Ambiguous value for argument"):
        override = lines[0].split("'")[1]
        key, _, values = override.partition("=")
        text = shlex.quote(f'{key}="{values}"')
        return (
            f"{override}: is several values; add -m to sweep over them, or write '{key}=[{values}]' for one list; "
            f"for one text, write {text}"
        )
    if isinstance(cause, OmegaConfBaseException):
        lines += [str(cause).splitlines()[0]]
    return " ".join(lines)


def _in_other_options(full_key: str) -> str:
    """Return which options of the key's group have it: ``data.fit`` belongs to data=image_folder."""
    group, _, within = full_key.partition(".")
    if group == "hydra":  # its groups have two names: hydra/sweeper
        name, _, within = within.partition(".")
        group = f"hydra/{name}"
    key = re.compile(rf"^{re.escape(within)}:", re.MULTILINE)
    paths = sorted((conf_folder() / group).glob("*.yaml")) if within else []
    options = [f"{group}={path.stem}" for path in paths if key.search(path.read_text(encoding="utf-8"))]
    shown = options[:3]
    return (
        f"; it belongs to {', '.join(shown[:-1])} and {shown[-1]}: add one of them"
        if len(options) > 1
        else (f"; it belongs to {options[0]}: add that" if options else "")
    )


def unlisted_values(override: str, key: str) -> str:
    """Return the error of a grid over an interval, with what takes one."""
    return (
        f"{override}: an interval has no values to train one by one; list them: {key}=0.001,0.01, or let a search "
        "propose them: hydra/sweeper=optuna"
    )


def explain_words(words: Sequence[str]) -> str | None:
    """Return what to type instead of a word that is no override, or None if all are: ``cifar-train quickstart``."""
    for word in words:
        if word.startswith("--") and not any(flag.startswith(word.partition("=")[0]) for flag in _FLAGS):
            name, _, value = word.lstrip("-").partition("=")
            return f"{word}: is no flag; keys are written without dashes: {name}={value or 'VALUE'} (--help shows them)"
    for i, word in enumerate(words):
        if word.startswith("-") or words[i - 1] in _WITH_VALUE:
            continue
        if "=" in word or word.startswith("~"):
            continue
        if word in OTHER_COMMANDS:
            rest = shlex.join([word, *words[i + 1 :]])
            return f"{word}: is a command of cifar-sweeps; type cifar-sweeps {rest}"
        paths = sorted(conf_folder().rglob("*.yaml"))
        names = {path.relative_to(conf_folder()).with_suffix("").as_posix() for path in paths}
        options = [
            name.replace("/", "=", 1) for name in sorted(names) if f"/{name}".endswith(f"/{word}") and "/" in name
        ]
        before = words[i - 1] if i and "=" in words[i - 1] and not words[i - 1].startswith("-") else ""
        guess = (
            f"; did you mean {' or '.join(options[:3])}?"
            if options
            else f"; several values are joined by commas: {shlex.quote(f'{before},{word}')}, and a value with a space "
            f"is quoted: {_in_quotes(f'{before} {word}')}"
            if before
            else "; for example trainer.epochs=5"
        )
        return f"{word}: is no key=value{guess}"
    return None


def _in_quotes(override: str) -> str:
    """Return an override with its value quoted, as it is typed in a shell: for Hydra, and again for the shell."""
    key, _, value = override.partition("=")
    text = f"{key}={quote(value)}"
    return shlex.quote(text) if set('"$`\\!') & set(text) else f'"{text}"'


def quote(text: str) -> str:
    """Return a text as the value of an override that means this very text, whatever characters it holds."""
    # Hydra reads a backslash as one only ahead of a quote, and OmegaConf ahead of an interpolation.
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return "'" + re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + "\\${", escaped) + "'"


def _how_to_write(override: str) -> str:
    """Return what to type in place of an override that cannot be read, which Hydra does read."""
    key, equals, value = override.partition("=")
    if not equals or not _KEY.fullmatch(key):
        return "write key=value"
    if re.fullmatch(r"[\w.+/-]+(,[\w.+/-]+)*,", value):
        return f"leave its last comma out: {key}={value[:-1]}"
    if key in ("sweep.exclude", "hydra.sweeper.conditions") and '"' not in value:
        rule = '["' + value.strip().removeprefix("[").removesuffix("]") + '"]'
        return f"its rules stand in brackets, each in quotes: {shlex.quote(f'{key}={rule}')}"
    if value.strip()[:1] in ("[", "{"):
        example = f'{key}=["first text","second text"]'
        return f"close its brackets, quote the texts in it, and all of it for the shell: {shlex.quote(example)}"
    missing = value.count("(") - value.count(")")
    if missing > 0 and _CALL.match(value) and not set(value) & set("'\""):
        return f"close its bracket: {shlex.quote(override + ')' * missing)}"
    # Two pairs of quotes: the shell takes off the outer one, and Hydra needs one around all but plain words.
    inner = f'"{value}"' if not set(value) & set('"\\') else quote(value)
    return f"write {shlex.quote(f'{key}={inner}')}"


_CALL = re.compile(r"\s*(interval|choice|range|tag|int|float|str|bool|sort|shuffle|glob|extend_list)\(")
_KEY = re.compile(r"[+~]{0,2}[\w@./-]+(\[[^\]]*\])*")


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
