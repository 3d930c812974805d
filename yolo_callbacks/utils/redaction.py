"""Remove secrets from what is shown, stored or uploaded: credentials in URLs, and arguments whose names say secret.

These functions change no argument and read no file, except that `clean_checkpoint` edits models in place. Values that
came from the environment are the task of `utils/origins.py`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

__all__ = [
    "MASK",
    "clean_arguments",
    "clean_checkpoint",
    "clean_command_line",
    "clean_text",
    "clean_url",
    "shown_value",
    "without_credentials",
]

MASK = "•••"
"""The text that replaces a secret."""

# A name with one of these words masks a value of any type. A name that contains one of these parts masks a text only.
_SECRET_WORD = re.compile(
    r"(?:^|[_\-.])(?:\w*keys?|\w*tokens?|pass|passwd|\w*passwords?|\w*secrets?|pwd|credentials?|auth)(?:$|[_\-.])", re.I
)
_SECRET_PART = re.compile(r"key|token|secret|password|passwd|credential", re.I)
# The user part ends at the last @, since a password may contain one. If the whole text is one URL, the password may
# also contain a slash or a space. A URL that was converted to a path has one slash instead of two. A scheme of one
# letter is a Windows drive.
_ONE_URL = re.compile(r"([A-Za-z][\w+.-]+:/{1,2})(?:.*@)?([^?#\s]*)(?:[?#].*)?", re.DOTALL)
_URL = re.compile(r"([A-Za-z][\w+.-]*://)(?:[^\s'\"<>,]*@)?([^?#\s'\"<>]*)(?:[?#][^\s'\"<>]*)?")
# `user:password@host` without a scheme, as git and rsync accept it.
_NO_SCHEME = re.compile(r"(?<![\w/.:+-])[\w.+-]+:[^\s@/:'\"]+@(?=[\w-])")
_NAMED = re.compile(r"(?P<name>-{0,2}[\w.-]+)(?P<sign>=)(?P<value>.*)", re.DOTALL)


# Names and URLs -----------------------------------------------------------------------------------------------------


def _hides_value(name: str, value: object) -> bool:
    """Return whether the name of an argument says that its value is a secret.

    Args:
        name: The name of the argument.
        value: Its value. An empty value is no secret. A value that is not a text is a secret only if a whole word of
            the name says so: `password: 123`, but not `keypoints: 17`.
    """
    return bool(value) and bool(_SECRET_WORD.search(name) or (isinstance(value, str) and _SECRET_PART.search(name)))


def clean_text(text: str) -> str:
    """Return a message with user, password, query and fragment removed from its URLs."""
    return _NO_SCHEME.sub("", _URL.sub(r"\1\2", text))


def clean_url(text: str) -> str:
    """Return a text without credentials. If all of it is one URL, its password may hold any character."""
    whole = _ONE_URL.fullmatch(text)
    return whole[1] + whole[2] if whole else clean_text(text)


def without_credentials(value: Any) -> Any:
    """Return a value in plain types with user, password, query and fragment removed from its URLs."""
    if isinstance(value, Mapping):
        return {str(key): without_credentials(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_credentials(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return clean_url(str(value))


def clean_arguments(arguments: Mapping[Any, Any]) -> dict[str, Any]:
    """Return arguments in plain types: mask those with names of secrets, remove credentials from URLs."""
    return {str(name): _clean(str(name), value) for name, value in arguments.items()}


def _clean(name: str, value: Any) -> Any:
    if _hides_value(name, value):
        return MASK
    if isinstance(value, Mapping):
        return clean_arguments(value)
    if isinstance(value, (list, tuple)):
        return [_clean("", item) for item in value]
    return without_credentials(value)


def shown_value(name: str, value: Any) -> str:
    """Return an argument as Python code without secrets; of an object, which may hold some, only the class."""
    cleaned = _same_kind_of(name, value)
    try:
        ast.literal_eval(repr(cleaned))
    except (ValueError, SyntaxError):
        return f"{type(value).__name__}(…)"
    return repr(cleaned)


def clean_command_line(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command: mask `token=…` and `--api-key …`, remove credentials from URLs."""
    cleaned: list[str] = []
    masks_next = False
    for argument in arguments:
        named = _NAMED.fullmatch(argument)
        if masks_next and not argument.startswith("-"):
            cleaned.append(MASK)
            masks_next = False
            continue
        masks_next = argument.startswith("-") and named is None and _hides_value(argument.lstrip("-"), "value")
        if named and _hides_value(named["name"].lstrip("-"), named["value"]):
            cleaned.append(f"{named['name']}={MASK}")
        elif named:
            cleaned.append(f"{named['name']}={clean_url(named['value'])}")
        else:
            cleaned.append(clean_url(argument))
    return cleaned


def clean_checkpoint(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a checkpoint of Ultralytics without credentials, or None if there are none and it can stay as it is.

    `train_args` and the arguments of the model contain `data=`, which may be a URL with a password. `git` contains
    `origin`, which may be a URL with a token. The models in the mapping are edited; the mapping itself is not.
    """
    cleaned = dict(checkpoint)
    changed = False
    for name in ("train_args", "git"):
        found = checkpoint.get(name)
        if isinstance(found, Mapping):
            cleaned[name] = _same_kind(found)
            changed |= cleaned[name] != found
    for name in ("model", "ema"):
        model = checkpoint.get(name)
        given = getattr(model, "args", None)
        arguments = given if isinstance(given, Mapping) else getattr(given, "__dict__", None)
        if not isinstance(arguments, dict):
            continue
        found = _same_kind(arguments)
        if found != arguments:
            # In place: Ultralytics 8.4.190 has a namespace here before stripping, and a dict afterwards.
            arguments.update(found)
            changed = True
    return cleaned if changed else None


def _same_kind(values: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a mapping without secrets; all other values are the same objects."""
    return {name: _same_kind_of(str(name), value) for name, value in values.items()}


def _same_kind_of(name: str, value: Any) -> Any:
    if _hides_value(name, value):
        return MASK
    if isinstance(value, Mapping):
        return _same_kind(value)
    if isinstance(value, (list, tuple)):
        items = [_same_kind_of("", item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, (str, PurePath)):
        text = str(value)
        cleaned = clean_url(text)
        return value if cleaned == text else cleaned
    return value
