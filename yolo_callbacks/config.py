"""Callbacks from the value of YOLO_CALLBACKS: a YAML file, names, or `default`.

Everything that is wrong is told as one line, with the file and the line where it stands.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import yaml

from _yolo_callbacks_boot import VARIABLE, is_file
from yolo_callbacks.attaching import default_suite
from yolo_callbacks.callback import Callback
from yolo_callbacks.checks import UnknownArgumentError, check_bool
from yolo_callbacks.registry import arguments, find, hint, takes_any
from yolo_callbacks.suite import Suite

__all__ = ["ConfigError", "Configuration", "load"]

_FLAGS = ("strict", "report", "keep_resumable")
_KEYS = ("callbacks", *_FLAGS)
_TASKS = ("detect", "segment", "classify", "pose", "obb")
_ENVIRONMENT = re.compile(r"\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}")

_LONGEST_HARMLESS = 3  # characters; a longer value of the environment may be a secret, and no message shows it


class ConfigError(ValueError):
    """What is wrong with the callbacks that a user named outside Python, in one line."""


@dataclass(frozen=True)
class Configuration:
    """What to attach to a training.

    Attributes:
        callbacks: In the order given.
        strict: Whether an exception inside a callback ends the training.
        report: Whether a report is written at the end of a run.
        keep_resumable: Whether last.pt keeps its optimizer at the end of a run.
        origins: Where each of `callbacks` is given, such as `callbacks.yaml:3`.
    """

    callbacks: tuple[Callback, ...]
    strict: bool = False
    report: bool = False
    keep_resumable: bool = False
    origins: tuple[str, ...] = ()

    def suite(self, task: str) -> Suite:
        """Make the suite for a training of a task."""
        return Suite(
            self.callbacks, task=task, strict=self.strict, report=self.report, keep_resumable=self.keep_resumable
        )

    def origin(self, callback: Callback) -> str:
        """Where a callback is given."""
        return next((o for c, o in zip(self.callbacks, self.origins, strict=False) if c is callback), VARIABLE)


def load(value: str) -> Configuration:
    """Make the callbacks that a value of YOLO_CALLBACKS names.

    Args:
        value: The path of a YAML file; or names separated by commas; or `"default"`, the suite of `attach(model)`.

    Raises:
        ConfigError: If anything is wrong with it.

    Example:
        >>> from yolo_callbacks.config import load
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
    """A YAML file of callbacks, read with the line of everything in it."""

    def __init__(self, path: Path) -> None:
        self.folder = path.absolute().parent
        try:
            self.name = str(path.absolute().relative_to(Path.cwd()))
        except ValueError:  # elsewhere
            self.name = str(path)
        self._path = path
        self._from_environment: dict[str, str] = {}

    def configuration(self) -> Configuration:
        try:
            return self._configuration()
        except ConfigError as error:
            if not self._from_environment:
                raise
            text = str(error).removeprefix(self.name)
            for value, name in self._from_environment.items():
                text = text.replace(value, name)
            raise ConfigError(f"{self.name}{text}") from None  # its cause shows what may be a secret

    def _configuration(self) -> Configuration:
        root = self._root()
        entries = {key.value: (key, value) for key, value in root.value}
        for name, (key, _) in entries.items():
            if name not in _KEYS:
                self._refuse(key, f"unknown key {name!r}{hint(name, _KEYS)} (there are {', '.join(_KEYS)})")
        if "callbacks" not in entries:
            self._refuse(root, "`callbacks:` is missing, a list")
        key, items = entries["callbacks"]
        if not isinstance(items, yaml.SequenceNode) or not items.value:
            self._refuse(key, "`callbacks:` must be a list of at least one: `- SaveBest`")
        callbacks = tuple(self._callback(item) for item in items.value)
        _check_together(callbacks, self._where(key))
        flags = {name: self._flag(name, *entries[name]) for name in _FLAGS if name in entries}
        return Configuration(callbacks, origins=tuple(self._where(item) for item in items.value), **flags)

    def _root(self) -> yaml.MappingNode:
        try:
            self._loader = _Loader(self._path.read_text(encoding="utf-8-sig"))
            root = self._loader.get_single_node()
        except OSError as error:
            raise ConfigError(f"{self.name}: {error.strerror}") from error
        except yaml.MarkedYAMLError as error:
            self._refuse_yaml(error)
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"{self.name}: no valid YAML: {_one_line(error)}") from error
        if root is None:
            raise ConfigError(f"{self.name}: is empty, expected `callbacks:` with a list")
        if not isinstance(root, yaml.MappingNode):
            self._refuse(root, "expected `callbacks:` with a list")
        self._prepare(root, set())
        return root

    def _prepare(self, node: yaml.Node, seen: set[int]) -> None:
        """Refuse keys that are given twice, which YAML lets pass, and put in the environment's values."""
        if id(node) in seen:  # an alias, perhaps of what it stands in
            return
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            self._substitute(node)
            return
        keys: set[str] = set()
        for child in node.value:
            if isinstance(node, yaml.MappingNode):
                key, child = child
                if not isinstance(key, yaml.ScalarNode):
                    self._refuse(key, "a key must be a name")
                if key.value in keys:
                    self._refuse(key, f"{key.value!r} is given twice")
                keys.add(key.value)
            self._prepare(child, seen)

    def _substitute(self, node: yaml.ScalarNode) -> None:
        def value_of(found: re.Match[str]) -> str:
            name, default = found["name"], found["default"]
            value = os.environ.get(name)
            if not value and default is not None:
                return default
            if value is None:
                self._refuse(node, f"{name} is not set in the environment: set it, or write ${{{name}:-default}}")
            if len(value) > _LONGEST_HARMLESS:
                self._from_environment[value] = found[0]
            return value

        text = _ENVIRONMENT.sub(value_of, node.value)
        if text != node.value:
            node.value = text
            if node.style is None:  # not quoted: a number is a number
                node.tag = self._loader.resolve(yaml.ScalarNode, text, (True, False))

    def _callback(self, item: yaml.Node) -> Callback:
        where = self._where(item)
        if isinstance(item, yaml.ScalarNode):
            return _make(item.value, {}, where, self.folder)
        if not isinstance(item, yaml.MappingNode):
            self._refuse(item, "expected the name of a callback, or a name with arguments")
        (key, values), *others = item.value or [(None, None)]
        if key is None:
            self._refuse(item, "expected the name of a callback")
        if others:
            remedy = f"indent the arguments of {key.value} further" if _is_null(values) else "write a `-` before each"
            self._refuse(others[0][0], f"{others[0][0].value!r} stands beside {key.value!r}: {remedy}")
        return _make(key.value, self._arguments(key.value, values), where, self.folder)

    def _arguments(self, name: str, values: yaml.Node) -> dict[str, _Given]:
        if _is_null(values):
            return {}
        if not isinstance(values, yaml.MappingNode):
            self._refuse(values, f"the arguments of {name} must have names, such as `{name}: {{monitor: mAP50}}`")
        try:
            self._loader.flatten_mapping(values)
            return {
                key.value: _Given(self._loader.construct_object(value, deep=True), self._where(key))
                for key, value in values.value
            }
        except yaml.MarkedYAMLError as error:
            self._refuse_yaml(error)

    def _flag(self, name: str, key: yaml.Node, value: yaml.Node) -> bool:
        try:
            return check_bool(name, self._loader.construct_object(value, deep=True))
        except TypeError as error:
            self._refuse(key, str(error))
        except yaml.MarkedYAMLError as error:
            self._refuse_yaml(error)

    def _where(self, node: yaml.Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}"

    def _refuse(self, node: yaml.Node, message: str) -> NoReturn:
        raise ConfigError(f"{self._where(node)}: {message}")

    def _refuse_yaml(self, error: yaml.MarkedYAMLError) -> NoReturn:
        mark = error.problem_mark or error.context_mark
        where = f"{self.name}:{mark.line + 1}" if mark else self.name
        # a plain ${…} ends at its brace inside { }
        advice = "; with ${…} write the arguments one a line" if "'{'" in str(error.problem) else ""
        raise ConfigError(f"{where}: no valid YAML: {error.problem}{advice}") from error


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """YAML's plain types; and 1e-4 is a number, as everywhere else, where YAML 1.1 wants 1.0e-4."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class _Given:
    """A value, and where it is given."""

    value: Any
    where: str


def _make(name: str, given: Mapping[str, _Given], where: str, folder: Path) -> Callback:
    """A callback, by its name and arguments."""
    try:
        found = find(name, folder)
    except ValueError as error:
        raise ConfigError(f"{where}: {_one_line(error)}") from error
    _check_arguments(name, found, given, where)
    try:
        return found(**{argument: at.value for argument, at in given.items()})
    except UnknownArgumentError as error:
        at = given.get(error.argument)
        raise ConfigError(f"{at.where if at else where}: {_one_line(error)}") from error
    except Exception as error:  # the class may be anybody's
        text = _one_line(error)
        blamed = next((at.where for argument, at in given.items() if text.startswith(f"{argument} ")), where)
        kind = "" if isinstance(error, (TypeError, ValueError)) else f"{type(error).__name__}: "
        raise ConfigError(f"{blamed}: {name}: {kind}{text}") from error


def _check_arguments(name: str, found: type[Callback], given: Mapping[str, _Given], where: str) -> None:
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
        raise ConfigError(f"{where}: {errors[0]}")


def _clashes(callbacks: Sequence[Callback]) -> Iterator[ValueError]:
    for task in _TASKS:
        try:
            Suite(callbacks, task=task)
        except ValueError as error:
            yield error


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
