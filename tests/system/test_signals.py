"""Signals of a command: raised at once, or kept until a loop looks for them; a second one ends the command."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from cifar_sweeps.system.signals import (
    INTERRUPTED,
    TERMINATED,
    Terminated,
    defer_signals,
    interrupt_on_signals,
)

RAISED = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated, signal.SIGHUP: Terminated}


@pytest.fixture(autouse=True)
def _handlers_stay_as_they_are():
    before = {each: signal.getsignal(each) for each in RAISED}
    yield
    assert {each: signal.getsignal(each) for each in RAISED} == before


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "error"), RAISED.items(), ids=lambda value: getattr(value, "name", ""))
def test_a_signal_is_raised_at_once(number, error):
    with pytest.raises(KeyboardInterrupt) as raised, interrupt_on_signals():
        send(number)
    assert type(raised.value) is error


def reached_in_a_deferred_block(number, looks):
    """Which points a block reaches that a signal meets, and the error that leaves it."""
    reached = []
    try:
        with defer_signals() as signals:
            signals.check()
            reached.append(signals.arrived)
            send(number)
            reached.append(signals.arrived)
            if looks:
                signals.check()
            reached.append("end")
    except KeyboardInterrupt as error:
        return reached, type(error)
    return reached, None


@pytest.mark.parametrize(("number", "error"), RAISED.items(), ids=lambda value: getattr(value, "name", ""))
def test_a_deferred_signal_is_raised_where_it_is_looked_for_or_at_the_end(number, error):
    assert reached_in_a_deferred_block(number, looks=True) == ([False, True], error)
    assert reached_in_a_deferred_block(number, looks=False) == ([False, True, "end"], error)


def test_what_the_caller_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with interrupt_on_signals():
            send(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_no_handler_is_set():
    errors = []

    def work():
        try:
            with interrupt_on_signals(), defer_signals() as signals:
                assert not signals.arrived
        except ValueError as error:  # what Python raises for a handler set elsewhere
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert errors == []


@pytest.mark.parametrize("kind", ["interrupt_on_signals", "defer_signals"])
@pytest.mark.parametrize(("second", "status"), [("SIGINT", INTERRUPTED), ("SIGTERM", TERMINATED)])
def test_a_second_signal_ends_the_command_at_once_after_its_clean_up(kind, second, status):
    script = (
        "import os, signal\n"
        f"from cifar_sweeps.system.signals import {kind}\n"
        f"with {kind}(lambda: os.write(1, b'cleaned up')):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt:\n"
        "        pass\n"
        f"    os.kill(os.getpid(), signal.{second})\n"
        "    os.write(1, b'reached')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, "cleaned up")
