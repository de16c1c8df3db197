"""How the models judge their arguments: each fault is noted, and all of them are raised together."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TypeGuard

from cifar_sweeps.errors import ConfigError


class ErrorList:
    """The faults of one config, in the order found and each only once."""

    def __init__(self) -> None:
        self._messages: dict[str, None] = {}

    def add(self, key: str, value: object, problem: str) -> None:
        """Note that the config's ``key`` arrived as ``value``, and what is wrong with that."""
        self._messages[f"{key}={value}: {problem}"] = None

    def raise_if_any(self) -> None:
        """Raise one ConfigError with all that was noted; return if nothing was."""
        if self._messages:
            raise ConfigError(self._messages)


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    """Whether ``value`` is a list or a tuple (or OmegaConf's list), and not a string."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def is_whole(value: object, least: int) -> TypeGuard[int]:
    """Whether ``value`` is an integer of at least ``least``; booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether ``value`` is an integer or a float (NaN and infinities too); booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_rate(value: object) -> TypeGuard[int | float]:
    """Whether ``value`` is a dropout rate: in [0, 1), which NaN is not."""
    return is_number(value) and 0 <= value < 1


def check_name(key: str, value: object, allowed: Iterable[str], faults: ErrorList) -> None:
    """Note ``value`` if it is none of the names in ``allowed``, with the nearest of them if any is near."""
    names = tuple(allowed)
    if value in names:
        return
    near = get_close_matches(str(value), names, n=1)
    guess = f"did you mean '{near[0]}'? " if near else ""
    faults.add(key, value, f"unknown; {guess}allowed: {', '.join(names)}")


def check_whole(key: str, value: object, least: int, faults: ErrorList) -> None:
    """Note ``value`` if it is not an integer of at least ``least``."""
    if not is_whole(value, least):
        faults.add(key, value, f"must be an integer of at least {least}")


def check_flag(key: str, value: object, faults: ErrorList) -> None:
    """Note ``value`` if it is not a boolean."""
    if not isinstance(value, bool):
        faults.add(key, value, "must be true or false")


def check_rate(key: str, value: object, faults: ErrorList) -> None:
    """Note a dropout rate outside [0, 1)."""
    if not is_rate(value):
        faults.add(key, value, "a dropout rate must be a number in [0, 1); use e.g. 0.25")


def check_batch_norm(momentum: object, eps: object, faults: ErrorList) -> None:
    """Note a momentum outside (0, 1], and an epsilon that is not above 0 and finite."""
    if not (is_number(momentum) and 0 < momentum <= 1):
        faults.add("model.batch_norm_momentum", momentum, "must be in (0, 1]; use 0.01 (Keras) or 0.1 (PyTorch)")
    if not (is_number(eps) and 0 < eps < float("inf")):
        faults.add("model.batch_norm_eps", eps, "must be above 0; use 1e-3 (Keras) or 1e-5 (PyTorch)")


def rates_each(key: str, rates: object, count: int, thing: str, faults: ErrorList) -> list[float]:
    """One dropout rate for each of ``count`` things (block, dense layer).

    A scalar serves all of them; a list must have ``count`` entries. Where a fault is noted, the rates returned are 0.
    """
    if not is_list(rates):
        check_rate(key, rates, faults)
        return [rates if is_rate(rates) else 0.0] * count
    if len(rates) != count:
        faults.add(key, rates, f"{len(rates)} rates for {count} {thing}(s); give one number or a list of {count}")
    if not all(is_rate(rate) for rate in rates):
        faults.add(key, rates, "each dropout rate must be a number in [0, 1); use e.g. 0.25")
    sound: list[float] = [rate for rate in rates if is_rate(rate)]
    return sound if len(sound) == count else [0.0] * count
