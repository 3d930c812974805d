"""Load the callbacks that the value of YOLO_CALLBACKS names: a YAML file, names of callbacks, or `default`.

Every mistake is reported in one line, with the file and the line number.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import yaml

from _yolo_callbacks_boot import VARIABLE, is_file
from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.config.construction import make_callback, validate_together
from yolo_callbacks.config.registry import arguments, find
from yolo_callbacks.config.yaml_file import ConfigError, Value, YamlFile, is_null
from yolo_callbacks.config.yaml_words import slip
from yolo_callbacks.suite.attaching import default_suite
from yolo_callbacks.suite.suite import Suite
from yolo_callbacks.utils.arguments import validate_bool
from yolo_callbacks.utils.messages import text_of
from yolo_callbacks.utils.origins import Origins, origins_of
from yolo_callbacks.utils.unknown_arguments import hint

__all__ = ["ConfigError", "Configuration", "load"]

_FLAGS = ("strict", "report", "keep_resumable")
_KEYS = ("callbacks", *_FLAGS)


@dataclass(frozen=True)
class Configuration:
    """The callbacks and options to attach to a training.

    Attributes:
        callbacks: The callbacks, in the order given.
        strict: Whether an exception inside a callback ends the training.
        report: Whether to write a report at the end of a run.
        keep_resumable: Whether last.pt keeps its optimizer at the end of a run.
    """

    callbacks: tuple[Callback, ...]
    strict: bool = False
    report: bool = False
    keep_resumable: bool = False

    def suite(self, task: str) -> Suite:
        """Return a suite for a training of a task."""
        return Suite(
            self.callbacks, task=task, strict=self.strict, report=self.report, keep_resumable=self.keep_resumable
        )

    def origin(self, callback: Callback) -> str:
        """Return the place where a callback is given, such as `callbacks.yaml:3`."""
        return origins_of(callback).place or VARIABLE


def load(value: str) -> Configuration:
    """Load the callbacks that a value of YOLO_CALLBACKS names.

    Args:
        value: The path of a YAML file; or names separated by commas; or `"default"`, the suite of `attach(model)`.

    Raises:
        ConfigError: If the value, or the file, is wrong.

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
    callbacks = tuple(make_callback(name, {}, VARIABLE, Path.cwd()) for name in names)
    validate_together(callbacks, VARIABLE)
    return Configuration(callbacks)


def _line_of(error: ConfigError) -> int:
    """Return the line that a mistake is in; 0 where its text names none."""
    found = re.match(r".*?:(\d+): ", str(error))
    return int(found[1]) if found else 0


class _File:
    """The reader of a configuration in a YAML file."""

    def __init__(self, path: Path) -> None:
        self._file = YamlFile(path)

    def configuration(self) -> Configuration:
        root = self._file.root()
        entries = {key.value: (key, value) for key, value in self._file.entries(root)}
        errors: list[ConfigError] = []

        def collected(read: Callable[..., Any], *nodes: Any) -> Any:
            try:
                return read(*nodes)
            except ConfigError as error:
                errors.extend([error, *error.others])
                return None

        for name in [name for name in entries if name not in _KEYS]:
            collected(self._refuse_key, name, entries[name][0])
        if "callbacks" in entries:
            items = collected(self._items, *entries["callbacks"]) or ()
        elif not errors:  # an unknown key is most often a misspelled `callbacks:`
            self._file.refuse(root, "`callbacks:` is missing; it must be a list")
        else:
            items = ()
        callbacks = tuple(collected(self._callback, item) for item in items)
        flags = {name: collected(partial(self._flag, name), *entries[name]) for name in _FLAGS if name in entries}
        if errors:
            first, *others = sorted(errors, key=_line_of)
            first.others = tuple(others)
            raise first
        validate_together(callbacks, self._file.where(entries["callbacks"][0]))
        return Configuration(callbacks, **flags)

    def _refuse_key(self, name: str, key: yaml.Node) -> NoReturn:
        meant = hint(name, _KEYS) or "; indent the arguments of a callback further than its name"
        self._file.refuse(key, f"unknown key {name!r}{meant} (there are {', '.join(_KEYS)})")

    def _items(self, key: yaml.Node, items: yaml.Node) -> list[yaml.Node]:
        """Return the callbacks of the list."""
        if not isinstance(items, yaml.SequenceNode) or not items.value:
            if isinstance(items, yaml.MappingNode) and items.value:
                self._file.refuse(
                    items.value[0][0], "`callbacks:` must be a list: write `- ` before each name, `- SaveBest:`"
                )
            advice = slip(self._plain(items), "-") or "`- SaveBest`"
            self._file.refuse(key, f"`callbacks:` must be a list of at least one: {advice}")
        return list(items.value)

    def _callback(self, item: yaml.Node) -> Callback:
        file, where = self._file, self._file.where(item)
        if isinstance(item, yaml.ScalarNode):
            if item.style is None and item.end_mark.line > item.start_mark.line:
                file.refuse(item, f"line {item.start_mark.line + 2} continues the name: indent each `- ` equally")
            advice = slip(self._plain(item), "(")
            if advice:
                file.refuse(item, advice)
            named = file.value(item)
            shown = file.shown(item) if named.variables else item.value
            return make_callback(item.value, {}, where, file.folder, shown=shown)
        if not isinstance(item, yaml.MappingNode):
            file.refuse(item, "expected the name of a callback, or a name with arguments")
        (key, values), *others = file.entries(item) or [(None, None)]
        if key is None or values is None:
            file.refuse(item, "expected the name of a callback")
        name, brace, rest = key.value.partition("{")
        if brace and key.style is None:  # the rest of the text is in the value
            file.refuse(item, f"a `:` is missing after `{name.strip()}`: write `{name.strip()}: {{{rest}: …}}`")
        if others:
            remedy = f"indent the arguments of {key.value} further" if is_null(values) else "write a `-` before each"
            file.refuse(others[0][0], f"{others[0][0].value!r} is on the same level as {key.value!r}: {remedy}")
        return make_callback(key.value, self._arguments(key.value, values), where, file.folder)

    def _arguments(self, name: str, values: yaml.Node) -> dict[str, Value]:
        if is_null(values):
            return {}
        if not isinstance(values, yaml.MappingNode):
            self._file.refuse(values, f"the arguments of {name} must have names: {self._named(name, values)}")
        for key, value in self._file.entries(values):
            advice = slip(self._plain(key), ":=") if is_null(value) else ""
            if advice:
                self._file.refuse(key, advice)
        return {key.value: self._file.value(value, at=key) for key, value in self._file.entries(values)}

    def _named(self, name: str, values: yaml.Node) -> str:
        """Return how to write arguments that have no names."""
        known = self._argument_names(name)
        if known is not None and not known:
            return "it takes none"
        if not isinstance(values, yaml.ScalarNode):
            given = f"write `{name}: {{{known[0]}: […]}}`" if known and values.flow_style else ""
            return given or "remove the `- ` before them"
        text = self._plain(values)
        if text and known and not re.match(rf"({'|'.join(known)})\b", text):
            return f"write `{name}: {{{known[0]}: {text}}}`"
        if known and values.style in ("'", '"') and not self._file.value(values).variables:
            return f"write `{name}: {{{known[0]}: {values.style}{values.value}{values.style}}}`"
        return slip(text, ":= ") or f"`{name}: {{{known[0] if known else 'name'}: …}}`"

    def _argument_names(self, name: str) -> list[str] | None:
        """Return the names of the arguments of a callback; None if there is no such callback."""
        try:
            return [argument.name for argument in arguments(find(name, self._file.folder))]
        except ValueError:  # reported where the callback is made
            return None

    def _plain(self, node: yaml.Node) -> str:
        """Return the text of a scalar without quotes; empty for other nodes and for values of the environment."""
        plain = isinstance(node, yaml.ScalarNode) and node.style is None and not self._file.value(node).variables
        return str(node.value) if plain else ""

    def _flag(self, name: str, key: yaml.Node, value: yaml.Node) -> bool:
        given = self._file.value(value)
        try:
            return validate_bool(name, given.value)
        except TypeError as error:
            if not given.variables:
                self._file.refuse(key, text_of(error))
            text = Origins(variables={name: given.variables}).text(error)
            self._file.refuse(key, f"{name} must be True or False: {text}")
