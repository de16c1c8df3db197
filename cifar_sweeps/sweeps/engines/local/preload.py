"""Import what every job needs, once, in the fork server: torch, and all that a run uses.

Imported by the server alone. Nothing here may leave a thread running, for a fork would not take it along (matplotlib's
timer, where it makes its list of fonts, has ended by then). A missing module only makes each job import it by itself,
which takes seconds.
"""

import contextlib
import importlib
import signal
from collections.abc import Iterable

from cifar_sweeps.sweeps.engines.local.fork_server import TO_ALL
from cifar_sweeps.system.gc_control import imports_without_gc
from cifar_sweeps.system.surroundings import keep_warnings_off_the_terminal

for _each in TO_ALL:
    signal.signal(_each, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_UNBLOCK, TO_ALL)  # jobs, which are forked from here, take some of them

keep_warnings_off_the_terminal()  # the server's output is the command's; a job's warnings reach its log

_FOR_ANY_RUN = (
    "cifar_sweeps.sweeps.callback",
    "cifar_sweeps.analysis.confusion_picture",
    "cifar_sweeps.analysis.figures",
    "cifar_sweeps.analysis.image_sheets",
    "hydra._internal.logging_config",
    "matplotlib.font_manager",
    "torch.utils.serialization",
)


def _import(names: Iterable[str]) -> None:
    for name in names:
        with contextlib.suppress(Exception):  # the job that needs it reports what is wrong with it
            importlib.import_module(name)


def _warm_up() -> None:
    """Have what libraries make at their first use: each job would make it anew."""
    from PIL import Image

    from cifar_sweeps.analysis.picture_text import load_fonts
    from cifar_sweeps.hydra_support import installed_plugins, warm_up_grammar

    for make in (installed_plugins, warm_up_grammar, Image.preinit, load_fonts):
        with contextlib.suppress(Exception):  # the job that needs it reports what is wrong with it
            make()


with imports_without_gc():
    # All of the package that a job will meet, what its pickles name included: an edit of the source while a sweep runs
    # then does not reach its jobs.
    import cifar_sweeps.sweeps.engines.local.process  # noqa: F401
    from cifar_sweeps.tracking.provenance import provenance

    _import(_FOR_ANY_RUN)
    provenance()
    with contextlib.suppress(Exception):  # a job can make all of it by itself
        _warm_up()
