"""Check the arguments of models, and raise all errors together."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TypeGuard

from cifar_sweeps.errors import ConfigError


class ErrorList:
    """The errors of one config, in the order found and without duplicates."""

    def __init__(self) -> None:
        self._messages: dict[str, None] = {}

    def add(self, key: str, value: object, problem: str) -> None:
        """Add an error: the config's ``key``, the value that it has, and what is wrong with it."""
        self._messages[f"{key}={value}: {problem}"] = None

    def extend(self, others: "ErrorList") -> None:
        """Add all errors of another list."""
        self._messages |= others._messages

    def __len__(self) -> int:
        return len(self._messages)

    def raise_if_any(self) -> None:
        """Raise one ConfigError with all errors; return if there are none."""
        if self._messages:
            raise ConfigError(self._messages)


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    """Return whether ``value`` is a list or a tuple (or OmegaConf's list), and not a string."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def is_integer(value: object, minimum: int) -> TypeGuard[int]:
    """Return whether ``value`` is an integer of at least ``minimum``; booleans are not."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= minimum


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether ``value`` is an integer or a float (NaN and infinities too); booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_dropout_rate(value: object) -> TypeGuard[int | float]:
    """Return whether ``value`` is a dropout rate: a number in [0, 1), not NaN."""
    return is_number(value) and 0 <= value < 1


def check_choice(key: str, value: object, allowed: Iterable[str], errors: ErrorList) -> None:
    """Add an error if ``value`` is not in ``allowed``, with the closest allowed name if there is a close one."""
    names = tuple(allowed)
    if value in names:
        return
    matches = get_close_matches(str(value), names, n=1)
    suggestion = f"did you mean '{matches[0]}'? " if matches else ""
    errors.add(key, value, f"unknown; {suggestion}allowed: {', '.join(names)}")


def check_integer(key: str, value: object, minimum: int, errors: ErrorList) -> None:
    """Add an error if ``value`` is not an integer of at least ``minimum``."""
    if not is_integer(value, minimum):
        errors.add(key, value, f"must be an integer of at least {minimum}")


def check_image_size(value: object, errors: ErrorList) -> tuple[int, int]:
    """Return height and width of an image size: one integer, or both. If it is neither, add an error; return 32×32."""
    if is_integer(value, 1):
        return value, value
    if is_list(value) and len(value) == 2 and is_integer(value[0], 1) and is_integer(value[1], 1):
        return value[0], value[1]
    errors.add("data.image_size", value, "must be an integer of at least 1, or [height, width]")
    return 32, 32


def check_bool(key: str, value: object, errors: ErrorList) -> None:
    """Add an error if ``value`` is not a boolean."""
    if not isinstance(value, bool):
        errors.add(key, value, "must be true or false")


def check_dropout_rate(key: str, value: object, errors: ErrorList) -> None:
    """Add an error if ``value`` is not a dropout rate in [0, 1)."""
    if not is_dropout_rate(value):
        errors.add(key, value, "a dropout rate must be a number in [0, 1); use e.g. 0.25")


def check_batch_norm(momentum: object, eps: object, errors: ErrorList) -> None:
    """Add an error if the momentum is not in (0, 1], and one if epsilon is not positive and finite."""
    if not (is_number(momentum) and 0 < momentum <= 1):
        errors.add("model.batch_norm_momentum", momentum, "must be in (0, 1]; use 0.01 (Keras) or 0.1 (PyTorch)")
    if not (is_number(eps) and 0 < eps < float("inf")):
        errors.add("model.batch_norm_eps", eps, "must be above 0; use 1e-3 (Keras) or 1e-5 (PyTorch)")


def expand_dropout_rates(key: str, rates: object, count: int, layer_kind: str, errors: ErrorList) -> list[float]:
    """Return one dropout rate for each of ``count`` layers of a kind (``layer_kind``: block, dense layer).

    A scalar applies to all of them; a list must have ``count`` entries. If there is an error, the rates are 0.
    """
    if not is_list(rates):
        check_dropout_rate(key, rates, errors)
        return [rates if is_dropout_rate(rates) else 0.0] * count
    if len(rates) != count:
        errors.add(key, rates, f"{len(rates)} rates for {count} {layer_kind}(s); give one number or a list of {count}")
    if not all(is_dropout_rate(rate) for rate in rates):
        errors.add(key, rates, "each dropout rate must be a number in [0, 1); use e.g. 0.25")
    valid: list[float] = [rate for rate in rates if is_dropout_rate(rate)]
    return valid if len(valid) == count else [0.0] * count
