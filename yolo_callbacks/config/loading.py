"""Callbacks from the value of YOLO_CALLBACKS: a YAML file, names, or `default`.

Everything that is wrong is one line, with the file and the line where it stands. No line holds the value of an argument
that came from the environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from _yolo_callbacks_boot import VARIABLE, is_file
from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.config.registry import arguments, find, hint, shown_type, takes_any
from yolo_callbacks.config.yaml_file import ConfigError, Value, YamlFile, is_null
from yolo_callbacks.suite.attaching import default_suite
from yolo_callbacks.suite.suite import Suite
from yolo_callbacks.utils.arguments import UnknownArgumentError, validate_bool
from yolo_callbacks.utils.messages import text_of
from yolo_callbacks.utils.origins import Origins, origins_of, remember_origins

__all__ = ["ConfigError", "Configuration", "clash_text", "load"]

_FLAGS = ("strict", "report", "keep_resumable")
_KEYS = ("callbacks", *_FLAGS)
_TASKS = ("detect", "segment", "classify", "pose", "obb")


@dataclass(frozen=True)
class Configuration:
    """What to attach to a training.

    Attributes:
        callbacks: In the order given.
        strict: Whether an exception inside a callback ends the training.
        report: Whether a report is written at the end of a run.
        keep_resumable: Whether last.pt keeps its optimizer at the end of a run.
    """

    callbacks: tuple[Callback, ...]
    strict: bool = False
    report: bool = False
    keep_resumable: bool = False

    def suite(self, task: str) -> Suite:
        """Make the suite for a training of a task."""
        return Suite(
            self.callbacks, task=task, strict=self.strict, report=self.report, keep_resumable=self.keep_resumable
        )

    def origin(self, callback: Callback) -> str:
        """Return where a callback is given, such as `callbacks.yaml:3`."""
        return origins_of(callback).place or VARIABLE


def load(value: str) -> Configuration:
    """Make the callbacks that a value of YOLO_CALLBACKS names.

    Args:
        value: The path of a YAML file; or names separated by commas; or `"default"`, the suite of `attach(model)`.

    Raises:
        ConfigError: If anything is wrong with it.

    Example:
        >>> from yolo_callbacks.config.loading import load
        >>> [type(callback).__name__ for callback in load("SaveBest,EarlyStopping").callbacks]
        ['SaveBest', 'EarlyStopping']
    """
    if is_file(value):
        return _File(Path(value)).configuration()
    if value.strip() == "default":
        return Configuration(default_suite())
    names = [name.strip() for name in value.split(",") if name.strip()]
    if not names:
        raise ConfigError(f"{VARIABLE} is {value!r}: give a YAML file, names of callbacks, or default")
    callbacks = tuple(_make(name, {}, VARIABLE, Path.cwd()) for name in names)
    _check_together(callbacks, VARIABLE)
    return Configuration(callbacks)


class _File:
    """The callbacks of a YAML file."""

    def __init__(self, path: Path) -> None:
        self._file = YamlFile(path)

    def configuration(self) -> Configuration:
        file, root = self._file, self._file.root()
        entries = {key.value: (key, value) for key, value in file.entries(root)}
        for name, (key, _) in entries.items():
            if name not in _KEYS:
                file.refuse(key, f"unknown key {name!r}{hint(name, _KEYS)} (there are {', '.join(_KEYS)})")
        if "callbacks" not in entries:
            file.refuse(root, "`callbacks:` is missing, a list")
        key, items = entries["callbacks"]
        if not isinstance(items, yaml.SequenceNode) or not items.value:
            file.refuse(key, "`callbacks:` must be a list of at least one: `- SaveBest`")
        callbacks = tuple(self._callback(item) for item in items.value)
        _check_together(callbacks, file.where(key))
        flags = {name: self._flag(name, *entries[name]) for name in _FLAGS if name in entries}
        return Configuration(callbacks, **flags)

    def _callback(self, item: yaml.Node) -> Callback:
        file, where = self._file, self._file.where(item)
        if isinstance(item, yaml.ScalarNode):
            named = file.value(item)
            shown = file.shown(item) if named.variables else item.value
            return _make(item.value, {}, where, file.folder, shown=shown)
        if not isinstance(item, yaml.MappingNode):
            file.refuse(item, "expected the name of a callback, or a name with arguments")
        (key, values), *others = file.entries(item) or [(None, None)]
        if key is None or values is None:
            file.refuse(item, "expected the name of a callback")
        if others:
            remedy = f"indent the arguments of {key.value} further" if is_null(values) else "write a `-` before each"
            file.refuse(others[0][0], f"{others[0][0].value!r} stands beside {key.value!r}: {remedy}")
        return _make(key.value, self._arguments(key.value, values), where, file.folder)

    def _arguments(self, name: str, values: yaml.Node) -> dict[str, Value]:
        if is_null(values):
            return {}
        if not isinstance(values, yaml.MappingNode):
            self._file.refuse(values, f"the arguments of {name} must have names, such as `{name}: {{monitor: mAP50}}`")
        return {key.value: self._file.value(value, at=key) for key, value in self._file.entries(values)}

    def _flag(self, name: str, key: yaml.Node, value: yaml.Node) -> bool:
        given = self._file.value(value)
        try:
            return validate_bool(name, given.value)
        except TypeError as error:
            said = Origins(variables={name: given.variables}).text(error) if given.variables else text_of(error)
            self._file.refuse(key, said if not given.variables else f"{name} must be True or False: {said}")


def _make(name: str, given: Mapping[str, Value], where: str, folder: Path, *, shown: str | None = None) -> Callback:
    """Make a callback of its name and arguments.

    Args:
        name: Its name.
        given: Its arguments.
        where: Where it is given.
        folder: Where a module is looked for that is found nowhere else.
        shown: The name for messages, where it is another one: a name that came from the environment is not shown.
    """
    try:
        found = find(name, folder)
        _check_arguments(name, found, given, where)
    except ConfigError:
        raise
    except Exception as error:  # a ValueError of ours, or anything of a metaclass of somebody else
        if shown in (None, name):
            said = "" if isinstance(error, ValueError) else f"{name}: {_kind(error)}"
            raise ConfigError(f"{where}: {said}{text_of(error)}") from error
        raise ConfigError(f"{where}: there is no callback of the name that {shown} holds") from None
    origins = Origins(where, {argument: at.variables for argument, at in given.items() if at.variables})
    try:
        callback = found(**{argument: at.value for argument, at in given.items()})
        if not isinstance(callback, Callback):  # `__new__` of somebody else's class
            raise TypeError(f"made an object of type {type(callback).__name__}, not a callback")
    except BaseException as error:  # the class may be anybody's, and end the interpreter
        raise _refusal(error, name, found, given, origins) from (None if origins.variables else error)
    remember_origins(callback, origins)
    return callback


def _refusal(
    error: BaseException, name: str, found: type[Callback], given: Mapping[str, Value], origins: Origins
) -> ConfigError:
    """Say why a callback cannot be made, with the line of the argument that is wrong where that is known."""
    if isinstance(error, UnknownArgumentError) and _is_own(found):  # which shows the name only
        unknown = given.get(error.argument)
        return ConfigError(f"{unknown.where if unknown else origins.place}: {text_of(error)}")
    if origins.variables:
        alone = _error_without(found, given, origins)
        if alone is None:
            first = next(given[argument].where for argument in origins.variables)
            return ConfigError(f"{first}: {name}: {_expected(found, origins)}{origins.text(error)}")
        error = alone
    text = text_of(error)
    blamed = next((at.where for argument, at in given.items() if text.startswith(f"{argument} ")), origins.place)
    return ConfigError(f"{blamed}: {name}: {_kind(error)}{text}")


def _error_without(found: type[Callback], given: Mapping[str, Value], origins: Origins) -> Exception | None:
    """Return the error of one of our callbacks without the arguments of the environment: it cannot show their values.

    Not of a class of somebody else, whose constructor may do anything, and should not do it twice.
    """
    if not _is_own(found):
        return None
    try:
        found(**{argument: at.value for argument, at in given.items() if argument not in origins.variables})
    except Exception as error:
        return error
    return None


def _is_own(found: type[Callback]) -> bool:
    return found.__module__.startswith("yolo_callbacks.")


def _expected(found: type[Callback], origins: Origins) -> str:
    """Say which types the arguments that came from the environment may have."""
    known = {argument.name: argument.annotation for argument in arguments(found)}
    told = [f"{name} must be {shown_type(known[name])}" for name in origins.variables if shown_type(known.get(name))]
    return f"{', '.join(told)}: " if told else ""


def _check_arguments(name: str, found: type[Callback], given: Mapping[str, Value], where: str) -> None:
    known = arguments(found)
    names = [argument.name for argument in known]
    for argument, at in given.items():
        if argument not in names and not takes_any(found):
            takes = f"it takes {', '.join(names)}" if names else "it takes none"
            raise ConfigError(f"{at.where}: {name} has no argument {argument!r}{hint(argument, names)} ({takes})")
    for needed in known:
        if needed.required and needed.name not in given:
            raise ConfigError(f"{where}: {name} needs the argument {needed.name!r}")


def _check_together(callbacks: Sequence[Callback], where: str) -> None:
    """Refuse callbacks that cannot stand side by side whatever the task, which only the training knows."""
    errors = list(_clashes(callbacks))
    if len(errors) == len(_TASKS):
        raise ConfigError(f"{where}: {clash_text(errors[0], callbacks)}") from None


def clash_text(error: Exception, callbacks: Iterable[Callback]) -> str:
    """Say why callbacks cannot stand side by side; without the value of an argument from the environment."""
    hidden = {type(callback).__name__: origins_of(callback) for callback in callbacks if origins_of(callback).variables}
    if not hidden:
        return f"{_kind(error)}{text_of(error)}"
    said = "; ".join(f"{name}: {origins.hidden}" for name, origins in hidden.items())
    return (
        "these callbacks cannot run together, such as two that write one file. What they clash over is not shown, "
        f"since it may hold the value of an argument that came from the environment: {said}"
    )


def _kind(error: BaseException) -> str:
    """Return what stands before the text of an error that is not of the usual kinds."""
    kind = type(error).__name__
    return "" if isinstance(error, (TypeError, ValueError)) or text_of(error) == kind else f"{kind}: "


def _clashes(callbacks: Sequence[Callback]) -> Iterator[Exception]:
    for task in _TASKS:
        try:
            Suite(callbacks, task=task)
        except Exception as error:  # `claims` and `key` may be anybody's
            yield error
