"""How to type this project's commands in the user's shell."""

import shlex
import shutil
import sys
from pathlib import Path


def typed(command: str, anywhere: bool = False) -> str:
    """Return what to type for ``cifar-train`` or ``cifar-sweeps``: its name, or its path where the shell has no such.

    The environment may not be activated (``make sweep``), and the shell may find another one's command. anywhere: the
    path holds in every folder, not only in this one.
    """
    script = Path(sys.executable).parent / command
    found = shutil.which(command)
    if not script.is_file() or (found is not None and Path(found).absolute() == script.absolute()):
        return command
    here = Path.cwd()
    relative = not anywhere and script.absolute().is_relative_to(here)
    return shlex.quote(str(script.absolute().relative_to(here) if relative else script.absolute()))
