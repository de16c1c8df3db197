"""What the tests of sweeps share: one that nobody disturbed, and a way to begin others."""

import pytest

from .sweeping import SWEEP, Command, Stored


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    outputs = tmp_path_factory.mktemp("undisturbed")
    command = Command(SWEEP, outputs)
    assert command.wait() == 0, command.said
    return Stored(outputs)


@pytest.fixture
def begin(outputs):
    """Start commands in the test's outputs folder; none of their processes is left behind."""
    begun = []

    def start(overrides=SWEEP, **environment):
        begun.append(Command(overrides, outputs, **environment))
        return begun[-1]

    yield start
    for command in begun:
        command.end()
