"""Prepare a command's process for the machine that it is started on: streams, environment, import path, warnings.

What others set for other programs (a notebook's MPLBACKEND, a proxy, PYTHONWARNINGS=error) must not decide over a
training. Everything here is inherited by the processes that the command starts.
"""

import contextlib
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from cifar_sweeps.errors import MachineError
from cifar_sweeps.system.files import expand_home
from cifar_sweeps.system.streams import prepare_streams

_OUTPUTS = "CIFAR_SWEEPS_OUTPUTS"
_OWN_MODULES = "CIFAR_SWEEPS_ALLOW_TARGETS"
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")
_NARROWEST = 40
"""Columns below which tables are no tables any more."""
_OPEN_FILES = 4096
_BINDING = ("OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
_SPINS = "1000"
"""How often a thread of torch's OpenMP (GNU's) looks for work before it sleeps, some microseconds. By default it looks
for milliseconds: two threads beside another busy process then wait for each other, and an epoch takes two to four
times as long. On a quiet machine it is a few percent slower, if at all; results have the same bits."""
_OF_FLAGS = ("default", "default::BytesWarning", "error::BytesWarning")
"""Filters that Python's own flags have set: ``-X dev``, ``-b``, ``-bb``."""
_TRACKER_WARNING = "ignore:::multiprocessing.resource_tracker"
"""At the end of a killed command the tracker removes what was left, and warns of it."""


def prepare(on_failing_output: Callable[[str, OSError], None]) -> list[str]:
    """Prepare this process, which runs one of the commands; before it imports torch, MLflow or matplotlib.

    on_failing_output: see `prepare_streams`. Returns a line for each setting that is not followed.
    Raises MachineError if no folder takes temporary files, or Python leaves out what Hydra needs.
    """
    prepare_streams(on_failing_output)
    _check_optimization()
    keep_warnings_off_the_terminal()
    _prepare_environment(os.environ)
    _prepare_import_path()
    _check_temporary_folder()
    _allow_more_open_files()
    return [*_drop_openmp_settings(os.environ)]


def keep_warnings_off_the_terminal() -> None:
    """Send warnings of libraries to the run's log file, and never let one of them raise.

    They reach the command's log through `logging`; without a log file they are dropped. Our own log records are shown.
    """
    if any(option.partition(":")[0] == "error" for option in sys.warnoptions) or sys.flags.bytes_warning > 1:
        warnings.resetwarnings()
        warnings.simplefilter("default")
    # What processes started by multiprocessing get, and what it takes out of this list again, having flags for it.
    sys.warnoptions[:] = [*(option for option in sys.warnoptions if option in _OF_FLAGS), _TRACKER_WARNING]
    os.environ.pop("PYTHONWARNINGS", None)
    logging.captureWarnings(True)
    if logging.lastResort is not None:  # prints where no log file is open
        logging.lastResort.addFilter(logging.Filter("cifar_sweeps"))


def _prepare_environment(environment: "os._Environ[str]") -> None:
    outputs = environment.get(_OUTPUTS)
    if outputs is not None and not outputs.strip():  # set to nothing is not set
        del environment[_OUTPUTS]
    elif outputs is not None:
        environment[_OUTPUTS] = expand_home(outputs)
    if not environment.get("HOME", "-"):  # set to nothing: ~ would be the root of the disk
        del environment["HOME"]
    environment["MPLBACKEND"] = "agg"  # pictures are files; a notebook's backend may not even be installed here
    environment["MATPLOTLIBRC"] = os.devnull  # they look the same everywhere
    environment["PYTHONSAFEPATH"] = "1"  # processes started from here would find the folder's own random.py first
    for name, least in (("COLUMNS", _NARROWEST), ("LINES", 10)):
        if environment.get(name, "").isdigit() and int(environment[name]) < least:
            environment[name] = str(least) if int(environment[name]) else ""  # 0: unknown, as in some containers
            if not environment[name]:
                del environment[name]
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", _SPINS)
    _name_the_user(environment)
    if any(environment.get(name) for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy")):
        _reach_this_machine_directly(environment)


def _drop_openmp_settings(environment: "os._Environ[str]") -> Iterator[str]:
    """Remove settings of OpenMP that would bind all jobs of a sweep to the same cores, or that it does not take."""
    for name in _BINDING:
        value = environment.get(name, "false")
        if value.lower() not in ("false", "disabled", "none", ""):
            del environment[name]
            yield f"{name}={value} is not followed: all jobs would be bound to the same cores; use taskset instead"
    count = environment.get("OMP_NUM_THREADS")
    if count is not None and not re.fullmatch(r"\s*[1-9]\d*(\s*,\s*[1-9]\d*)*\s*", count):
        del environment["OMP_NUM_THREADS"]
        yield f"OMP_NUM_THREADS={count} is no number of threads, and not followed; trainer.threads=N sets it"


def _name_the_user(environment: "os._Environ[str]") -> None:
    """Give a user without an entry in passwd, as in a container, a name and a home: libraries ask for them."""
    import pwd

    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        if not any(environment.get(name) for name in ("LOGNAME", "USER", "LNAME", "USERNAME")):
            environment["USER"] = f"uid-{os.getuid()}"
        if not environment.get("HOME"):
            environment["HOME"] = "/"


def _reach_this_machine_directly(environment: "os._Environ[str]") -> None:
    """Exempt this machine's own servers, such as MLflow's, from a proxy."""
    exempt = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if exempt.strip() == "*":
        return
    named = [host.strip() for host in exempt.split(",") if host.strip()]
    hosts = ",".join([*named, *(host for host in _LOCAL_HOSTS if host not in named)])
    environment["no_proxy"] = environment["NO_PROXY"] = hosts


def _prepare_import_path() -> None:
    """Let the user's own modules in the current folder be imported, behind everything that is installed.

    Only where CIFAR_SWEEPS_ALLOW_TARGETS names modules at all. At the end of the path, so that a ``random.py`` or
    ``yaml.py`` of the user's takes no library's place; ``python -m`` has put the folder at its beginning.
    """
    try:
        here = str(Path.cwd())
    except OSError as error:
        raise MachineError("the current folder is gone; go to one that exists (cd), and repeat the command") from error
    if here in _python_path():
        return
    if sys.path and sys.path[0] in ("", here) and not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    if os.environ.get(_OWN_MODULES, "").strip() and here not in sys.path:
        sys.path.append(here)


def _python_path() -> list[str]:
    """Return the folders of PYTHONPATH, which the user has put first on purpose."""
    folders = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [str(Path(folder).absolute()) for folder in folders if folder]


def _allow_more_open_files() -> None:
    """Raise the limit of open files as far as it may be: each job of a sweep takes a few, and macOS allows 256."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _check_optimization() -> None:
    """Refuse ``python -O``: Hydra's reader of overrides takes steps inside of assertions, and fails without them."""
    if sys.flags.optimize:
        value = os.environ.get("PYTHONOPTIMIZE")
        setting = f"PYTHONOPTIMIZE={value}" if value else "python -O"
        raise MachineError(
            f"{setting} leaves out assertions, without which Hydra cannot read overrides; "
            f"{'unset PYTHONOPTIMIZE' if value else 'start Python without -O'}, and repeat the command"
        )


def _check_temporary_folder() -> None:
    try:
        tempfile.gettempdir()
    except OSError as error:
        given = os.environ.get("TMPDIR")
        raise MachineError(
            f"no folder takes temporary files{f' (TMPDIR={given})' if given else ''}; "
            "set TMPDIR to a folder that you can write to"
        ) from error
