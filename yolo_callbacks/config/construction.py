"""Construct callbacks from their names and arguments, and report mistakes without values of the environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.config.registry import EPOCHS, arguments, find, shown_type, takes_any, takes_epochs
from yolo_callbacks.config.yaml_file import ConfigError, Value
from yolo_callbacks.suite.suite import Suite
from yolo_callbacks.utils.messages import text_of
from yolo_callbacks.utils.origins import Origins, origins_of, remember_origins
from yolo_callbacks.utils.unknown_arguments import UnknownArgumentError, unknown_argument_text

__all__ = ["clash_text", "make_callback", "validate_together"]

_TASKS = ("detect", "segment", "classify", "pose", "obb")


def make_callback(
    name: str, given: Mapping[str, Value], where: str, folder: Path, *, shown: str | None = None
) -> Callback:
    """Construct a callback.

    Args:
        name: The name of the callback.
        given: Its arguments.
        where: The place where it is given, for messages.
        folder: The folder of modules that are not found elsewhere.
        shown: The text for the name in messages, if it differs: a name that came from the environment is not shown.

    Raises:
        ConfigError: If there is no such callback, or its arguments are wrong.
    """
    try:
        found = find(name, folder)
        mistakes = list(_argument_mistakes(name, found, given, where))
    except Exception as error:  # a ValueError of `find`, or anything that a foreign metaclass raises
        if shown in (None, name):
            prefix = "" if isinstance(error, ValueError) else f"{name}: {_kind(error)}"
            raise ConfigError(f"{where}: {prefix}{text_of(error)}") from error
        raise ConfigError(f"{where}: no callback has the name in {shown}") from None
    if mistakes:
        first, *others = mistakes
        first.others = tuple(others)
        raise first
    variables = {argument: at.variables for argument, at in given.items() if at.variables}
    origins = Origins(where, variables, {argument: at.where for argument, at in given.items()})
    try:
        callback = _made(found, given)
        if not isinstance(callback, Callback):  # a foreign `__new__` may return anything
            raise TypeError(f"made an object of type {type(callback).__name__}, not a callback")
        if EPOCHS in given and takes_epochs(found):
            callback.in_epochs(given[EPOCHS].value)
    except BaseException as error:  # a foreign class may raise anything, SystemExit too
        refusal = _refusal(error, name, found, given, origins)
        refusal.others = tuple(_further_mistakes(error, name, found, given, origins))
        raise refusal from (None if origins.variables else error)
    remember_origins(callback, origins)
    return callback


def _made(found: type[Callback], given: Mapping[str, Value]) -> Callback:
    """Construct a callback from its own arguments."""
    others = {EPOCHS} if takes_epochs(found) else set()
    return found(**{argument: at.value for argument, at in given.items() if argument not in others})


def _refusal(
    error: BaseException, name: str, found: type[Callback], given: Mapping[str, Value], origins: Origins
) -> ConfigError:
    """Return the error of a callback that cannot be constructed, with the line of the wrong argument if it is known."""
    if isinstance(error, UnknownArgumentError) and _is_own(found):  # its text shows only the name
        unknown = given.get(error.argument)
        return ConfigError(f"{unknown.where if unknown else origins.place}: {text_of(error)}")
    if origins.variables:
        other = _error_without(found, given, origins)
        if other is None:
            first = next(given[argument].where for argument in origins.variables)
            return ConfigError(f"{first}: {name}: {_expected(found, origins)}{origins.text(error)}")
        error = other
    text = text_of(error)
    blamed = _blamed(error, given)
    if blamed is None:
        return ConfigError(f"{origins.place}: {name}: {_kind(error)}{text}")
    advice = "" if given[blamed].variables else _text_advice(given[blamed].value)
    return ConfigError(f"{given[blamed].where}: {name}: {_kind(error)}{text}{advice}")


def _blamed(error: BaseException, given: Mapping[str, Value]) -> str | None:
    """Return the argument that an error is about, None if its text does not begin with one."""
    if isinstance(error, UnknownArgumentError):
        return error.argument if error.argument in given else None
    text = text_of(error)
    return next((argument for argument in given if text.startswith(f"{argument} ")), None)


def _further_mistakes(
    error: BaseException, name: str, found: type[Callback], given: Mapping[str, Value], origins: Origins
) -> Iterator[ConfigError]:
    """List the mistakes in the other arguments, by making the callback again without the wrong one.

    That needs a default in its place. A foreign class is not made again, since its constructor may have side effects.
    """
    blamed = _blamed(error, given)
    needed = [argument.name for argument in arguments(found) if argument.required]
    if blamed is None or blamed in needed or origins.variables or not _is_own(found):
        return
    rest = {argument: at for argument, at in given.items() if argument != blamed}
    try:
        _made(found, rest)
    except Exception as other:
        yield _refusal(other, name, found, rest, origins)
        yield from _further_mistakes(other, name, found, rest, origins)


def _text_advice(value: object) -> str:
    """Return how to write a number or `None` that YAML has read as a text."""
    if value == "None":
        return "; in YAML, None is null"
    if isinstance(value, bool):
        return "; YAML reads on, off, yes and no as true or false: put a text in quotes"
    matched = re.fullmatch(r"([-+]?\d+)(?:[.,](\d+))?([,;]?)", value) if isinstance(value, str) else None
    return f"; write {'.'.join(filter(None, matched.groups()[:2]))}, without quotes and comma" if matched else ""


def _error_without(found: type[Callback], given: Mapping[str, Value], origins: Origins) -> Exception | None:
    """Construct a callback of this package without the arguments from the environment, and return the error.

    The text of that error cannot contain a value of the environment. A foreign class is not constructed again, since
    its constructor may have side effects.
    """
    needed = {argument.name for argument in arguments(found) if argument.required}
    if not _is_own(found) or needed.intersection(origins.variables):  # without those, that would be the error
        return None
    try:
        _made(found, {argument: at for argument, at in given.items() if argument not in origins.variables})
    except Exception as error:
        return error
    return None


def _is_own(found: type[Callback]) -> bool:
    return found.__module__.startswith("yolo_callbacks.")


def _expected(found: type[Callback], origins: Origins) -> str:
    """Return the types that the arguments from the environment may have, as the beginning of a message."""
    known = {argument.name: argument.annotation for argument in arguments(found)}
    types = [f"{name} must be {shown_type(known[name])}" for name in origins.variables if shown_type(known.get(name))]
    return f"{', '.join(types)}: " if types else ""


def _argument_mistakes(
    name: str, found: type[Callback], given: Mapping[str, Value], where: str
) -> Iterator[ConfigError]:
    """List the arguments that a callback does not have, and those that it needs and was not given."""
    known = arguments(found)
    names, general = [argument.name for argument in known], [EPOCHS] if takes_epochs(found) else []
    for argument, at in given.items():
        if argument not in (*names, *general) and not takes_any(found):
            yield ConfigError(f"{at.where}: {unknown_argument_text(name, argument, names, general)}")
    for needed in known:
        if needed.required and needed.name not in given:
            yield ConfigError(f"{where}: {name} needs the argument {needed.name!r}")


def validate_together(callbacks: Sequence[Callback], where: str) -> None:
    """Refuse callbacks that cannot run together in a training of any task.

    Raises:
        ConfigError: If every task has a conflict. A conflict of one task is found when the training starts.
    """
    if error := _clash(callbacks):
        first = next(number for number in range(1, len(callbacks) + 1) if _clash(callbacks[:number]))
        place = origins_of(callbacks[first - 1]).place or where
        raise ConfigError(f"{place}: {clash_text(error, callbacks)}") from None


def clash_text(error: Exception, callbacks: Iterable[Callback]) -> str:
    """Describe why callbacks cannot run together, without the values of arguments from the environment."""
    hidden = {type(callback).__name__: origins_of(callback) for callback in callbacks if origins_of(callback).variables}
    if not hidden:
        return f"{_kind(error)}{text_of(error)}"
    names = "; ".join(f"{name}: {origins.hidden}" for name, origins in hidden.items())
    return (
        "these callbacks cannot run together, such as two that write one file. The conflict is not shown, "
        f"since it may hold the value of an argument that came from the environment: {names}"
    )


def _kind(error: BaseException) -> str:
    """Return the class of an error for the beginning of a message; empty for TypeError and ValueError."""
    kind = type(error).__name__
    return "" if isinstance(error, (TypeError, ValueError)) or text_of(error) == kind else f"{kind}: "


def _clash(callbacks: Sequence[Callback]) -> Exception | None:
    """Return the conflict of callbacks that conflict in every task, None if they can run in one."""
    errors = list(_clashes(callbacks))
    return errors[0] if len(errors) == len(_TASKS) else None


def _clashes(callbacks: Sequence[Callback]) -> Iterator[Exception]:
    for task in _TASKS:
        try:
            Suite(callbacks, task=task)
        except Exception as error:  # `output_files` and `state_key` of a foreign class may raise anything
            yield error
