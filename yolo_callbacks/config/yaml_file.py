"""Read a YAML file node by node, with the line number of every node and with values of the environment.

Every mistake is reported in one line, with the file and the line number, whatever PyYAML raises.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import yaml

from yolo_callbacks.config.yaml_words import describe, slip
from yolo_callbacks.utils.messages import one_line, text_of

__all__ = ["ConfigError", "Value", "YamlFile", "is_null"]

_ENVIRONMENT = re.compile(r"\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}")
_TAG = "tag:yaml.org,2002:"
_NULL, _MAP, _SEQ = f"{_TAG}null", f"{_TAG}map", f"{_TAG}seq"
# `=` and `<<` as values, for which PyYAML has no type.
_PLAIN_TEXT = (f"{_TAG}value", f"{_TAG}merge")
# Limits of a file; a usual file of callbacks is far below. PyYAML is recursive, and copies the values of aliases.
_MAX_BYTES = 1 << 20
_MAX_DEPTH = 50
_MAX_VALUES = 10_000
_MAX_SHOWN = 40  # characters of a value in a message


class ConfigError(ValueError):
    """A mistake in the callbacks that a user has named outside Python, in one line.

    Attributes:
        others: The mistakes after this one, of other callbacks of the file.
    """

    def __init__(self, text: str, others: Sequence[ConfigError] = ()) -> None:
        super().__init__(one_line(text))
        self.others = tuple(others)


@dataclass(frozen=True)
class Value:
    """A value of the file.

    Attributes:
        value: The value in Python's types.
        where: File and line, such as `callbacks.yaml:3`.
        variables: The environment variables that the value was made from.
    """

    value: Any
    where: str
    variables: tuple[str, ...] = ()


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """A loader of YAML's plain types, with the numbers of YAML 1.2 where 1.1 surprises.

    1e-4 is a number, for which YAML 1.1 requires 1.0e-4. 10:50 is a text, and not the 650 seconds of YAML 1.1.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {
        first: [(tag, form) for tag, form in forms if tag not in (f"{_TAG}int", f"{_TAG}float")]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_INT = r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$"
_FLOAT = (
    r"([-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
)
_Loader.add_implicit_resolver(f"{_TAG}int", re.compile(_INT), list("-+0123456789"))
_Loader.add_implicit_resolver(f"{_TAG}float", re.compile(_FLOAT), list("-+0123456789."))


class YamlFile:
    """A YAML file.

    Args:
        path: The path of the file.

    Attributes:
        name: The name of the file in messages.
        folder: The folder of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.folder = path.absolute().parent
            self.name = str(path.absolute().relative_to(Path.cwd()))
        except (OSError, ValueError):  # in another folder, or the working directory was removed
            self.folder, self.name = path.parent, str(path)
        # By id, since nodes are not hashable. `_root` keeps them alive.
        self._variables: dict[int, tuple[str, ...]] = {}
        self._root: yaml.Node | None = None
        self._loader = _Loader("")
        self._content = ""

    def root(self) -> yaml.MappingNode:
        """Return the mapping at the top of the file, after validating the whole file.

        Raises:
            ConfigError: If there is no mapping, or the file is not valid.
        """
        self._content = self._text()
        root = self._root = self._composed(self._content)
        if root is None or is_null(root):
            raise ConfigError(f"{self.name}:1: the file is empty, expected `callbacks:` with a list")
        self._validate_aliases(root)
        if not isinstance(root, yaml.MappingNode):
            self.refuse(root, f"expected `callbacks:` with a list{self._root_advice(root)}")
        self._prepare(root, set())
        return root

    def value(self, node: yaml.Node, at: yaml.Node | None = None) -> Value:
        """Return the value of a node.

        Args:
            node: The node.
            at: The node with the line number for messages, such as the key of the value.

        Raises:
            ConfigError: If PyYAML cannot construct the value.
        """
        variables = tuple(dict.fromkeys(name for each in _nodes(node) for name in self._variables.get(id(each), ())))
        return Value(self._made(node), self.where(node if at is None else at), variables)

    def entries(self, node: yaml.MappingNode) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """Return the keys and values of a mapping, including those that `<<` merges into it.

        Raises:
            ConfigError: If `<<` merges anything but mappings.
        """
        try:
            self._loader.flatten_mapping(node)
        except yaml.MarkedYAMLError as error:
            self._refuse_yaml(error)
        return list(node.value)

    def where(self, node: yaml.Node) -> str:
        """Return the file and the line number of a node."""
        return f"{self.name}:{node.start_mark.line + 1}"

    def refuse(self, node: yaml.Node, message: str) -> NoReturn:
        """Raise a ConfigError with the file and the line number of a node."""
        raise ConfigError(f"{self.where(node)}: {message}") from None

    def shown(self, node: yaml.ScalarNode) -> str:
        """Return the text of a scalar for a message, or the variables if it came from the environment."""
        names = self._variables.get(id(node), ())
        if names:
            return " and ".join(f"${{{name}}}" for name in names)
        return repr(node.value if len(node.value) <= _MAX_SHOWN else f"{node.value[:_MAX_SHOWN]}…")

    # Parts ------------------------------------------------------------------------------------------------------------

    def _text(self) -> str:
        try:
            with self._path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except (OSError, ValueError) as error:  # ValueError: a name that no file system allows
            reason = getattr(error, "strerror", None) or text_of(error)
            raise ConfigError(f"{self.name}: {reason}") from error
        if len(content) > _MAX_BYTES:
            raise ConfigError(f"{self.name}:1: not a file of callbacks: it is larger than {_MAX_BYTES >> 20} MiB")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise ConfigError(f"{self.name}:{line}: invalid YAML: not UTF-8 ({text_of(error)})") from error

    def _root_advice(self, root: yaml.Node) -> str:
        if isinstance(root, yaml.SequenceNode):
            return ": write `callbacks:` above the list"
        line = self._content.splitlines()[root.start_mark.line]
        advice = slip(line) if line.startswith("callbacks") else ""
        return f": {advice}" if advice else ""

    def _composed(self, text: str) -> yaml.Node | None:
        try:
            self._loader = _Loader(text)
            self._validate_depth()
            self._loader = _Loader(text)
            return self._loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            self._refuse_yaml(error)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            self._refuse_line(line, f"the character #x{error.character:04x} is not allowed")
        except ConfigError:
            raise
        except Exception as error:  # `"\U00110000"` and a directive of 5000 digits raise ValueError
            text = text_of(error)
            self._refuse_line(
                self._loader.line + 1,
                "an escape in double quotes is no character: use single quotes" if text.startswith("chr()") else text,
            )

    def _validate_depth(self) -> None:
        """Refuse a file that is nested too deeply for the recursion of PyYAML."""
        depth = 0
        while self._loader.check_event():
            event = self._loader.get_event()
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _MAX_DEPTH:
                    self._refuse_line(event.start_mark.line + 1, f"nested more than {_MAX_DEPTH} levels deep")
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1

    def _validate_aliases(self, root: yaml.Node) -> None:
        """Refuse aliases that contain themselves, and aliases that expand a few lines to a million values."""
        sizes: dict[int, int] = {}
        open_nodes: set[int] = set()

        def size(node: yaml.Node) -> int:
            if id(node) in open_nodes:
                self.refuse(node, "an alias contains itself")
            if id(node) not in sizes:
                open_nodes.add(id(node))
                sizes[id(node)] = 1 + sum(size(child) for child in _children(node))
                open_nodes.remove(id(node))
                if sizes[id(node)] > _MAX_VALUES:
                    self.refuse(node, f"holds more than {_MAX_VALUES} values, aliases included")
            return sizes[id(node)]

        size(root)

    def _prepare(self, node: yaml.Node, seen: set[int]) -> None:
        """Refuse duplicate keys, which YAML accepts, and substitute the values of the environment."""
        if id(node) in seen:  # an alias
            return
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            self._substitute(node)
            return
        lines: dict[str, int] = {}
        for child in node.value:
            if isinstance(node, yaml.MappingNode):
                key, child = child
                if not isinstance(key, yaml.ScalarNode):
                    self.refuse(key, "a key must be a name")
                if key.value in lines:
                    self.refuse(key, f"{self.shown(key)} is given twice, first in line {lines[key.value]}")
                lines[key.value] = key.start_mark.line + 1
            self._prepare(child, seen)

    def _substitute(self, node: yaml.ScalarNode) -> None:
        names: list[str] = []

        def value_of(found: re.Match[str]) -> str:
            name, default = found["name"], found["default"]
            value = os.environ.get(name)
            if not value and default is not None:
                return default
            if value is None:
                self.refuse(node, f"{name} is not set in the environment: set it, or write ${{{name}:-default}}")
            names.append(name)
            return value

        if node.tag in _PLAIN_TEXT:
            node.tag = f"{_TAG}str"
        text = _ENVIRONMENT.sub(value_of, node.value)
        if names:
            self._variables[id(node)] = tuple(dict.fromkeys(names))
        if text != node.value:
            node.value = text
            if node.style is None:  # not quoted, so the value may be a number
                node.tag = self._loader.resolve(yaml.ScalarNode, text, (True, False))
        try:
            text.encode()
        except UnicodeEncodeError:
            self.refuse(node, f"{self.shown(node)} contains a character that UTF-8 cannot encode")

    def _made(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.SequenceNode) and node.tag == _SEQ:
            return [self._made(item) for item in node.value]
        if isinstance(node, yaml.MappingNode) and node.tag == _MAP:
            return {self._made(key): self._made(value) for key, value in self.entries(node)}
        for child in _children(node):
            self._made(child)  # if PyYAML fails on a child, the message has the line of that child
        try:
            return self._loader.construct_object(node, deep=True)
        except Exception as error:  # `!!bool maybe`: KeyError, `!!timestamp x`: AttributeError, `0x_`: ValueError
            if node.tag not in self._loader.yaml_constructors:
                tag = node.tag.replace(_TAG, "!!")
                self.refuse(
                    node, f"invalid YAML: the tag {tag!r} is not known: put a text that begins with `!` in quotes"
                )
            if isinstance(error, yaml.MarkedYAMLError) and not isinstance(node, yaml.ScalarNode):
                self._refuse_yaml(error)
            shown = self.shown(node) if isinstance(node, yaml.ScalarNode) else "it"
            advice = "; put it in quotes if it is a text" if self._is_untagged(node) else ""
            self.refuse(node, f"invalid YAML: {shown} is not a valid !!{node.tag.removeprefix(_TAG)}{advice}")

    def _is_untagged(self, node: yaml.Node) -> bool:
        """Return whether YAML guessed the type of a value from its text."""
        return (
            isinstance(node, yaml.ScalarNode)
            and node.style is None
            and self._loader.resolve(yaml.ScalarNode, node.value, (True, False)) == node.tag
        )

    def _refuse_line(self, line: int, message: str) -> NoReturn:
        raise ConfigError(f"{self.name}:{line}: invalid YAML: {message}") from None

    def _refuse_yaml(self, error: yaml.MarkedYAMLError) -> NoReturn:
        self._refuse_line(*describe(error, self._content))


def is_null(node: yaml.Node) -> bool:
    """Return whether a node is empty or `null`."""
    return isinstance(node, yaml.ScalarNode) and node.tag == _NULL


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _nodes(node: yaml.Node) -> Iterator[yaml.Node]:
    yield node
    for child in _children(node):
        yield from _nodes(child)
