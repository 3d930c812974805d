"""Decide which share of its base rate the learning rate has in an epoch: a schedule by name, or a function."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

__all__ = ["RateSchedule", "ScheduleError"]


def _constant(epoch: int, epochs: int) -> float:
    return 1.0


def _step(epoch: int, epochs: int, *, every: int, gamma: float) -> float:
    return float(gamma ** (epoch // every))


def _exponential(epoch: int, epochs: int, *, gamma: float) -> float:
    return float(gamma**epoch)


def _cosine_restarts(epoch: int, epochs: int, *, every: int, growth: int, lowest: float) -> float:
    position, length = epoch, every
    while position >= length:
        position, length = position - length, length * growth
    return lowest + (1.0 - lowest) * (1.0 + math.cos(math.pi * position / length)) / 2.0


def _one_cycle(epoch: int, epochs: int, *, rise: float, start: float, lowest: float) -> float:
    top, end = rise * epochs - 1.0, epochs - 1.0
    if epoch <= top:
        return _between(start, 1.0, epoch / top if top else 1.0)
    return _between(1.0, lowest, (epoch - top) / (end - top) if end > top else 1.0)


def _between(first: float, last: float, share: float) -> float:
    """Return a value on half a cosine wave."""
    return last + (first - last) / 2.0 * (1.0 + math.cos(math.pi * share))


# The schedules by name, with their arguments; None for an argument that has no default.
_SCHEDULES: dict[str, tuple[Callable[..., float], dict[str, float | None]]] = {
    "constant": (_constant, {}),
    "step": (_step, {"every": None, "gamma": 0.1}),
    "exponential": (_exponential, {"gamma": None}),
    "cosine_restarts": (_cosine_restarts, {"every": None, "growth": 1, "lowest": 0.0}),
    "one_cycle": (_one_cycle, {"rise": 0.3, "start": 0.04, "lowest": 4e-6}),
}
_AT_LEAST_ONE = ("every", "growth")


class ScheduleError(ValueError):
    """A function of the user's has returned what is no factor, or has raised."""


class RateSchedule:
    """Decide the factor of the base rate in an epoch.

    The factor depends on nothing but the epoch and the number of epochs, so a resumed run needs no state.

    Args:
        schedule: The name of a schedule, or a function of the epoch, counted from 0, and the number of epochs.
        arguments: The arguments of a schedule by name; those that are None are not given.

    Raises:
        TypeError: If the schedule is neither, the function takes no two arguments, or an argument is of the wrong kind.
        ValueError: If no schedule has the name, or it has no such argument, needs another one, or refuses a value.
    """

    def __init__(self, schedule: object, arguments: Mapping[str, object]) -> None:
        given = {name: value for name, value in arguments.items() if value is not None}
        self._function: Callable[..., Any]
        self._arguments: dict[str, float]
        if callable(schedule):
            self._function = schedule
            _validate_function(schedule)
            if given:
                raise ValueError(f"schedule as a function takes no arguments, received {_listed(given)}")
            self.name, self._arguments = "", {}
            return
        if not isinstance(schedule, str):
            raise TypeError(f"schedule must be a name or a function of epoch and epochs, received {schedule!r}")
        if schedule not in _SCHEDULES:
            near = get_close_matches(schedule.lower(), _SCHEDULES, n=1)
            hint = f", did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"schedule must be one of {', '.join(_SCHEDULES)}, received {schedule!r}{hint}")
        self.name, (self._function, known) = schedule, _SCHEDULES[schedule]
        self._arguments = _read_arguments(schedule, known, given)

    def factor(self, epoch: int, epochs: int) -> float:
        """Return the factor of the base rate in an epoch.

        Args:
            epoch: The epoch, counted from 0.
            epochs: The number of epochs. With a limit of time it changes, and may be too low for the epoch.

        Raises:
            ScheduleError: If a function of the user's raises, or returns something else than a factor.
        """
        epochs = max(epochs, epoch + 1)
        if self.name:
            return float(self._function(epoch, epochs, **self._arguments))
        try:
            found: Any = self._function(epoch, epochs)
            factor = float(found)
        except Exception as error:
            raise ScheduleError(f"schedule fails at epoch {epoch} of {epochs}: {error!r}") from error
        if not 0.0 <= factor < math.inf:
            raise ScheduleError(f"schedule must return a factor of at least 0, at epoch {epoch} it returned {found!r}")
        return factor

    def describe(self) -> str:
        """Return the schedule in words: its name with its arguments, or that of the function."""
        name = self.name or str(getattr(self._function, "__name__", "function"))
        given = ", ".join(f"{argument}={value:g}" for argument, value in self._arguments.items())
        return f"{name}({given})" if given else name.replace("<lambda>", "function")


def _validate_function(function: Callable[..., Any]) -> None:
    try:
        inspect.signature(function).bind(0, 1)
    except TypeError:
        taken = ", ".join(inspect.signature(function).parameters)
        raise TypeError(f"schedule must take (epoch, epochs), but it takes ({taken})") from None
    except ValueError:  # some functions written in C have no signature
        return


def _read_arguments(schedule: str, known: Mapping[str, float | None], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a schedule, with its defaults."""
    if unknown := [name for name in given if name not in known]:
        takes = f"takes {_listed(known)}" if known else "takes no arguments"
        raise ValueError(f"{unknown[0]} is no argument of the schedule {schedule!r}, which {takes}")
    if missing := [name for name, default in known.items() if default is None and name not in given]:
        raise ValueError(f"schedule {schedule!r} needs {_listed(missing)}")
    return {name: _read(name, given[name]) if name in given else default for name, default in known.items()}


def _read(name: str, value: object) -> float:
    if name in _AT_LEAST_ONE:
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(f"{name} must be an integer, received {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, received {value!r}")
        return int(value)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, received {value!r}")
    number = float(value)
    if name == "lowest":
        allowed, words = 0.0 <= number <= 1.0, "from 0 to 1"
    elif name == "rise":
        allowed, words = 0.0 < number < 1.0, "between 0 and 1"
    else:
        allowed, words = 0.0 < number <= 1.0, "above 0 and at most 1"
    if not allowed:
        raise ValueError(f"{name} must be {words}, received {value!r}")
    return number


def _listed(names: Any) -> str:
    return " and ".join(filter(None, (", ".join(list(names)[:-1]), list(names)[-1])))
