"""Every use of Hydra's internals, for hydra-core 1.3.8 to 1.4, but `hydra_overrides` and `hydra_composition_cache`.

No module but these three imports them or replaces a method.

Each function says why there is no public way, and for which of the two versions. The rules themselves (what a config
may have Hydra build, how a sweep's jobs are composed) are passed in as arguments. Other modules use what Hydra makes
public: ``HydraConfig``, ``JobReturn``, ``hydra.types`` and the base classes of plugins.
"""

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from string import Template
from types import ModuleType
from typing import Any

import hydra
import hydra.core.utils
import hydra.utils
from hydra._internal import config_loader_impl
from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.core.utils import run_job as _hydras_run_job
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

Compose = Callable[[ConfigLoader, DictConfig, list[str]], DictConfig]
"""Composes a job: the loader, the sweep's own config, the job's overrides; Hydra's ``load_sweep_config``."""

HelpText = Callable[[DictConfig, Mapping[str, Any], Mapping[str, Sequence[str]], Sequence[Path]], str]
"""Returns the help of a config: with the chosen option and all options of each group, and the folders of the files."""

Method = Callable[..., Any]

_whitelist: Callable[[Sequence[str]], Any] | None = getattr(hydra.utils, "execution_whitelist", None)
"""1.4's allow-list of what Hydra may build; 1.3 has none. Public, but looked up by name: mypy knows one version."""
_overrides_dirname: Callable[..., str] | None = getattr(config_loader_impl, "get_overrides_dirname", None)
"""What 1.3 fills ``hydra.job.override_dirname`` with; in 1.4 that is an interpolation, and the function is gone."""
# 1.3 takes the behaviour of 1.1 and warns where none is named; 1.4 knows one behaviour and warns where one is named.
_VERSION_BASE: dict[str, Any] = {"version_base": "1.3"} if _whitelist is None else {}


class AbortHydra(BaseException):
    """Carry an error through Hydra, which would print a trace around an exception, or only warn of a callback's.

    error: None if all was printed already. Holds for both versions: neither catches a BaseException for good.
    """

    def __init__(self, error: Exception | None) -> None:
        super().__init__(str(error))
        self.error = error


# The command


def parse_flags(arguments: Sequence[str]) -> Namespace:
    """Parse a command line as Hydra does: its flags, and the overrides. Exits as argparse does where it cannot."""
    flags: Namespace = get_args_parser().parse_args(list(arguments))
    return flags


def hydra_application(task: TaskFunction, config_dir: Path, config_name: str = "config") -> Callable[[], object]:
    """Return a function that runs ``task`` as a Hydra application: these config files, this process's arguments.

    1.3 needs ``version_base``, 1.4 warns of it.
    """
    main = hydra.main(config_path=str(config_dir), config_name=config_name, **_VERSION_BASE)
    entry: Callable[[], object] = main(task)
    return entry


@contextmanager
def hooks(
    *,
    check: Callable[[DictConfig], None],
    compose: Callable[[Compose, ConfigLoader, DictConfig, list[str]], DictConfig] | None = None,
    on_callback: Callable[[Callback], None] | None = None,
    allow_list: Sequence[str] | None = None,
    help_text: HelpText | None = None,
    stand_in: Callable[[str], str | None] | None = None,
) -> Iterator[None]:
    """Make Hydra follow these rules within the block. What they raise passes through Hydra.

    check: called with every config that Hydra composes, its own part included, before anything of it is built.
    compose: composes a sweep's job in place of Hydra, whose own way is its first argument.
    on_callback: called with each callback that Hydra has created, before Hydra calls it.
    allow_list: names (``package.Name``, ``package.*``) of all that a config may have Hydra build besides its plugins;
    1.4 then refuses all else at the moment of building. 1.3 has no such list: there ``check`` stands alone.
    help_text: returns what the application's own help has in place of ``$CONFIG``.
    stand_in: returns what is read in place of an override that is ours and not of Hydra's grammar; None for Hydra's.
    The config that is composed keeps the override itself among those that were typed.
    """
    loader = config_loader_impl.ConfigLoaderImpl

    def checked(load: Method) -> Method:
        def load_and_check(*args: Any, **kwargs: Any) -> DictConfig:  # noqa: ANN401 (Hydra's own)
            config: DictConfig = load(*args, **kwargs)
            check(config)
            return config

        return load_and_check

    def composed(own: Method) -> Method:
        assert compose is not None
        rule = compose

        def job(loader: ConfigLoader, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
            return rule(own, loader, master_config, sweep_overrides)

        return job

    def introduced(make: Method) -> Method:
        assert on_callback is not None
        introduce = on_callback

        def make_and_introduce(callbacks: Callbacks, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (Hydra's own)
            make(callbacks, *args, **kwargs)
            for callback in callbacks.callbacks:
                introduce(callback)

        return make_and_introduce

    with ExitStack() as stack:
        stack.enter_context(_without_error_log())
        # Both versions: Hydra builds plugins before any public hook. Not load_configuration: 1.4's run bypasses it.
        stack.enter_context(patched(loader, "_load_configuration_impl", checked))
        if compose is not None:  # both versions: sweeper and launcher call it, and neither takes another way to compose
            stack.enter_context(patched(loader, "load_sweep_config", composed))
        if stand_in is not None:  # both versions: their grammar is generated, and nothing can be added to it
            stack.enter_context(patched(OverridesParser, "parse_overrides", _with_stand_ins(stand_in)))
        if help_text is not None:  # both versions: their template has a list of groups and the config as YAML alone
            stack.enter_context(patched(Hydra, "get_help", _with_help_text(help_text)))
        if on_callback is not None:  # both versions: Hydra makes its callbacks from the config and hands them nothing
            stack.enter_context(patched(Callbacks, "__init__", introduced))
        if "get_mode" in vars(loader):  # 1.4 alone
            stack.enter_context(patched(loader, "get_mode", _composed_mode))
        if allow_list is not None and _whitelist is not None:  # 1.4 alone
            stack.enter_context(_whitelist(allow_list))
        yield


def _with_help_text(help_text: HelpText) -> Callable[[Method], Method]:
    """Both versions give the application's help and Hydra's own by one method; the former names the application."""

    def replaced(own: Method) -> Method:
        def get_help(hydra: Hydra, help_cfg: DictConfig, cfg: DictConfig, *args: Any, **kwargs: Any) -> str:  # noqa: ANN401
            if "app_name" not in help_cfg:
                text: str = own(hydra, help_cfg, cfg, *args, **kwargs)
                return text
            loader = hydra.config_loader
            groups = [group for group in hydra.list_all_config_groups() if not f"{group}/".startswith("hydra/")]
            options = {group: sorted(loader.get_group_options(group)) for group in groups}
            folders = [Path(source.path) for source in loader.get_sources() if source.scheme() == "file"]
            choices = HydraConfig.get().runtime.choices
            keys = help_text(cfg, choices, {group: names for group, names in options.items() if names}, folders)
            return Template(help_cfg.template).safe_substitute(CONFIG=keys)

        return get_help

    return replaced


def _with_stand_ins(stand_in: Callable[[str], str | None]) -> Callable[[Method], Method]:
    def replaced(own: Method) -> Method:
        def parse(parser: OverridesParser, overrides: list[str]) -> list[Override]:
            ours = {line: instead for line in overrides if (instead := stand_in(line)) is not None}
            parsed: list[Override] = own(parser, [ours.get(line, line) for line in overrides])
            for override, line in zip(parsed, overrides, strict=True):
                if line in ours:
                    override.input_line = line
            return parsed

        return parse

    return replaced


def _composed_mode(get_mode: Method) -> Method:
    """1.4 takes ``hydra.mode`` from the primary file and the command line alone, 1.3 from the config as composed.

    A study's file says that it is a sweep; without this, 1.4 refuses it.
    """

    def mode(loader: Any, config_name: str | None, overrides: list[str], *args: Any, **kwargs: Any) -> object:  # noqa: ANN401
        found: object = get_mode(loader, config_name, overrides, *args, **kwargs)
        if found is not None:
            return found
        try:  # just as 1.3 does
            config = loader.load_configuration(
                config_name, list(overrides), RunMode.MULTIRUN, validate_sweep_overrides=False
            )
        except Exception:  # noqa: BLE001 (Hydra composes anew in the next step, which raises it again)
            return None
        whole: object = config.hydra.mode
        return whole

    return mode


@contextmanager
def _without_error_log() -> Iterator[None]:
    """Keep Hydra from writing a failed job's traceback into its log file; 1.4 alone does so.

    The job has logged its error itself, in one line where that says all.
    """
    if hasattr(hydra.core.utils, "_log_job_error_to_file"):
        with patched(hydra.core.utils, "_log_job_error_to_file", lambda own: lambda: None):
            yield
    else:
        yield


@contextmanager
def patched(owner: type | ModuleType, name: str, by: Callable[[Method], Method]) -> Iterator[None]:
    """Replace ``owner``'s method or function by ``by`` of it, within the block."""
    before = vars(owner).get(name)
    if before is None:  # a check that Hydra silently bypasses would be no check
        raise RuntimeError(
            f"hydra-core {hydra.__version__} has no {owner.__name__}.{name}; install hydra-core>=1.3.8,<1.5"
        )
    setattr(owner, name, by(before))
    try:
        yield
    finally:
        setattr(owner, name, before)


def installed_plugins() -> frozenset[str]:
    """Return the names of the launchers and sweepers that are installed.

    Both versions: ``Plugins`` alone knows them. It has found them anyhow when the first config is composed.
    """
    plugins = Plugins.instance()
    found = [*plugins.discover(Launcher), *plugins.discover(Sweeper)]
    return frozenset(f"{plugin.__module__}.{plugin.__qualname__}" for plugin in found)


def get_callbacks(context: HydraContext) -> Sequence[Callback]:
    """Return the callback objects that Hydra calls in this process.

    Both versions hand the launcher a context with them, in a class of their insides.
    """
    return tuple(context.callbacks.callbacks)


# Composition


@contextmanager
def initialized_compose(config_dir: Path, own_dir: Path | None = None) -> Iterator[None]:
    """Let ``hydra.compose`` read these config files within the block, also while a Hydra application runs.

    own_dir: a folder as for ``--config-dir``, which only the command line takes, in both versions.
    Both versions keep one Hydra per process, and would refuse a second one; the application gets its own back.
    """
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(config_dir=str(config_dir), **_VERSION_BASE):
            if own_dir is not None:
                search_path = create_config_search_path(str(config_dir))
                anchor = SearchPathQuery(provider="schema")
                search_path.prepend("command-line", own_dir.absolute().as_uri(), anchor)
                GlobalHydra.instance().clear()
                Hydra.create_main_hydra2("compose", search_path)
            yield
    finally:
        GlobalHydra.instance().hydra = before  # asked for anew: Hydra has put another instance in its place


def is_composition_error(error: BaseException) -> bool:
    """Say whether Hydra or OmegaConf raised this while they composed a config, or built what it names."""
    if isinstance(error, HydraException | OmegaConfBaseException):
        return True
    trace, modules = error.__traceback__, []
    while trace is not None:
        modules.append(str(trace.tb_frame.f_globals.get("__name__", "")))
        trace = trace.tb_next
    where = modules[-1] if modules else ""
    if isinstance(error, AttributeError | TypeError):  # what OmegaConf stumbles over when it merges an override
        return where.startswith("omegaconf.") and f"{config_loader_impl.__name__}" in modules
    # A few checks of both versions raise a plain ValueError.
    return isinstance(error, ValueError) and where.startswith("hydra._internal.")


def is_group(loader: ConfigLoader, key: str) -> bool:
    """Say whether a key names a config group, whose value is a file's name."""
    return bool(loader.get_group_options(key, results_filter=None))


def group_options(loader: ConfigLoader, group: str) -> list[str]:
    """Return the names of the files of a config group; those in its folders are not among them."""
    return sorted(loader.get_group_options(group, results_filter=ObjectType.CONFIG))


def current_loader() -> ConfigLoader:
    """Return the loader of the Hydra application that runs. Both versions hand callbacks no loader."""
    return GlobalHydra.instance().config_loader()


def record_overrides(config: DictConfig, overrides: Sequence[Override]) -> None:
    """Record in Hydra's part of a job's config which overrides it was composed from, as Hydra itself does."""
    own = [override for override in overrides if not override.is_hydra_override()]
    config.hydra.overrides.task = [override.input_line for override in own]
    if _overrides_dirname is not None:
        names = config.hydra.job.config.override_dirname
        dirname = _overrides_dirname(own, names.exclude_keys, names.item_sep, names.kv_sep)
        config.hydra.job.override_dirname = dirname


def task_overrides(hydra_node: Any) -> list[str]:  # noqa: ANN401 (HydraConf, in a DictConfig)
    """Return the overrides in Hydra's part of a config as they were typed: read plainly, they would be resolved."""
    plain = OmegaConf.to_container(hydra_node.overrides.task, resolve=False)
    return [str(line) for line in plain] if isinstance(plain, list | tuple) else []


@contextmanager
def hydra_config(node: DictConfig) -> Iterator[None]:
    """Let ``${hydra:…}`` refer to this config, Hydra's part included, within the block.

    Both versions keep one config per process, set it for a job that runs alone, and make it read-only.
    """
    holder: Any = HydraConfig.instance()
    before = holder.cfg
    holder.cfg = node
    try:
        yield
    finally:
        holder.cfg = before


# Jobs


def make_launcher(context: HydraContext, task: TaskFunction, config: DictConfig) -> Launcher:
    """Return the launcher that a sweep's config names. Both versions: ``Plugins`` alone makes one."""
    launcher: Launcher = Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=task, config=config
    )
    return launcher


def get_singleton_state() -> object:
    """Return the state that Hydra keeps once per process, for `run_job` in another process; it can be pickled.

    Both versions: what an interpolation such as ``${hydra:...}`` resolves to lies there.
    """
    return Singleton.get_state()


def run_job(context: HydraContext, config: DictConfig, task: TaskFunction, singletons: object) -> JobReturn:
    """Run a sweep's job in this process as Hydra's own launchers do: its folder, log file and callbacks.

    config: the job's, Hydra's part included. singletons: of the sweep's process; they replace this one's.
    Both versions. 1.4 limits what the job may build to what the sweep's process may: the list travels in ``context``.
    """
    setup_globals()
    _set_singleton_state(singletons)
    with _without_error_log():
        return _hydras_run_job(
            hydra_context=context,
            config=config,
            task_function=task,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


def _set_singleton_state(state: Any) -> None:  # noqa: ANN401 (Hydra's own)
    """Replace what Hydra keeps once per process, except for the plugins that this process has already found.

    Both versions leave them out of the state, and would import and inspect all of them again.
    """
    found = Singleton._instances.get(Plugins)
    Singleton.set_state(state if found is None else {**state, "instances": {**state["instances"], Plugins: found}})


def warm_up_grammar() -> None:
    """Resolve some interpolations: OmegaConf's parser learns its grammar from what it meets, letter by letter."""
    name = "abcdefghijklmnopqrstuvwxyz_"
    of_node, of_variable = f"${{{name}.{name}.{name}}}", f"${{oc.env:{name.upper()},./{name}}}"
    with_time = f"${{oc.env:{name.upper()},%Y-%m-%d_%H-%M-%S}}"
    texts = (of_node, f"{of_node}/{of_node}", f"./{name}/{of_node}_{of_node}", of_variable, f"{of_variable}/{name}")
    config = OmegaConf.create({name: {name: {name: 1}}})
    for text in (*texts, with_time, f"[%({name})s] - {of_node}"):
        config["text"] = text
        OmegaConf.select(config, "text")


class FailedJobReturn(JobReturn):
    """The return of a failed job: its value raises the error. Hydra's own class would also print a line."""

    @property  # type: ignore[misc]  # it is never set
    def return_value(self) -> Any:  # noqa: ANN401 (as Hydra has it)
        """Raise the error."""
        raise self._return_value


def completed_return(overrides: Sequence[str], node: DictConfig, value: object) -> JobReturn:
    """Return a finished job's `JobReturn`."""
    return JobReturn(overrides=list(overrides), cfg=node, status=JobStatus.COMPLETED, _return_value=value)


def failed_return(overrides: Sequence[str], node: DictConfig, error: Exception) -> JobReturn:
    """Return the `JobReturn` of a job that did not finish."""
    return FailedJobReturn(overrides=list(overrides), cfg=node, status=JobStatus.FAILED, _return_value=error)


def job_error(done: JobReturn) -> Exception | None:
    """Return the exception that a job raised; None if it finished, or was interrupted.

    1.4 calls callbacks after interrupts too, which end the sweep by themselves; 1.3 does not.
    """
    error: object = done._return_value
    return error if done.status == JobStatus.FAILED and isinstance(error, Exception) else None
