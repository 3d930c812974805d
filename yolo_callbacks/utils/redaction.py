"""Keep secrets out of what is shown, stored or uploaded: credentials in URLs, and arguments named like secrets.

Pure: values in, values out. A value that came from the environment is not searched for in a text, since its spelling
changes and a short one cannot be found. `Origins` says which arguments of a callback came from there, and a message
about a fault of this callback leaves the text of the exception out.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

__all__ = [
    "MASK",
    "Origins",
    "clean_arguments",
    "clean_checkpoint",
    "clean_command_line",
    "clean_text",
    "hides_value",
    "one_line",
    "origins_of",
    "remember_origins",
    "text_of",
    "without_credentials",
]

MASK = "•••"
"""What stands in the place of a secret."""

# A value of any kind is masked under a name that has one of these as a word, a text under a name that contains one.
_SECRET_WORD = re.compile(
    r"(?:^|[_\-.])(?:\w*keys?|\w*tokens?|pass|passwd|\w*passwords?|\w*secrets?|pwd|credentials?|auth)(?:$|[_\-.])", re.I
)
_SECRET_PART = re.compile(r"key|token|secret|password|passwd|credential", re.I)
# Up to the last @, since a password may hold one, or a slash, or a space where the whole text is one URL.
# One slash is left of two where a URL was made a path; a scheme of one letter is a drive.
_ONE_URL = re.compile(r"([A-Za-z][\w+.-]+:/{1,2})(?:.*@)?([^?#\s]*)(?:[?#].*)?", re.DOTALL)
_URL = re.compile(r"([A-Za-z][\w+.-]*://)(?:[^\s'\"<>,]*@)?([^?#\s'\"<>]*)(?:[?#][^\s'\"<>]*)?")
# `user:password@host` without a scheme, as git and rsync take it.
_NO_SCHEME = re.compile(r"(?<![\w/.:+-])[\w.+-]+:[^\s@/:'\"]+@(?=[\w-])")
_NAMED = re.compile(r"(?P<name>-{0,2}[\w.-]+)(?P<sign>=)(?P<value>.*)", re.DOTALL)
_LINE_ENDS = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+\s*")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")


# Names and URLs -----------------------------------------------------------------------------------------------------


def hides_value(name: str, value: object) -> bool:
    """Return whether the name of an argument says that its value is a secret.

    Args:
        name: Its name.
        value: Its value. An empty one is no secret. One that is no text is a secret only where a whole word of the
            name says so: `password: 123`, but not `keypoints: 17`.
    """
    return bool(value) and bool(_SECRET_WORD.search(name) or (isinstance(value, str) and _SECRET_PART.search(name)))


def clean_text(text: str) -> str:
    """Return a message whose URLs have no user, password, query and fragment."""
    return _NO_SCHEME.sub("", _URL.sub(r"\1\2", text))


def _clean_value(text: str) -> str:
    """Return a value without credentials; it may be one URL as a whole."""
    whole = _ONE_URL.fullmatch(text)
    return whole[1] + whole[2] if whole else clean_text(text)


def without_credentials(value: Any) -> Any:
    """Return a value in plain types whose URLs have no user, password, query and fragment."""
    if isinstance(value, Mapping):
        return {str(key): without_credentials(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_credentials(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _clean_value(str(value))


def clean_arguments(arguments: Mapping[Any, Any]) -> dict[str, Any]:
    """Return arguments in plain types: those named like secrets are masked, URLs have no credentials."""
    return {str(name): _clean(str(name), value) for name, value in arguments.items()}


def _clean(name: str, value: Any) -> Any:
    if hides_value(name, value):
        return MASK
    if isinstance(value, Mapping):
        return clean_arguments(value)
    if isinstance(value, (list, tuple)):
        return [_clean("", item) for item in value]
    return without_credentials(value)


def clean_command_line(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command: `token=…`, `--api-key …` and credentials in URLs are masked or removed."""
    cleaned: list[str] = []
    masks_next = False
    for argument in arguments:
        named = _NAMED.fullmatch(argument)
        if masks_next and not argument.startswith("-"):
            cleaned.append(MASK)
            masks_next = False
            continue
        masks_next = argument.startswith("-") and named is None and hides_value(argument.lstrip("-"), "value")
        if named and hides_value(named["name"].lstrip("-"), named["value"]):
            cleaned.append(f"{named['name']}={MASK}")
        elif named:
            cleaned.append(f"{named['name']}={_clean_value(named['value'])}")
        else:
            cleaned.append(_clean_value(argument))
    return cleaned


def clean_checkpoint(checkpoint: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a checkpoint of Ultralytics without credentials; None where it has none, so that it can stay as it is.

    `train_args` and the arguments of the model hold `data=`, which may be a URL with a password; `git` holds `origin`,
    which may be one with a token. The models of the mapping that is given are changed, the mapping itself is not.
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
            arguments.update(found)  # in place: 8.4.190 has a namespace here before stripping, and a dict after it
            changed = True
    return cleaned if changed else None


def _same_kind(values: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a mapping without secrets whose other values are the very same objects."""
    return {name: _same_kind_of(str(name), value) for name, value in values.items()}


def _same_kind_of(name: str, value: Any) -> Any:
    if hides_value(name, value):
        return MASK
    if isinstance(value, Mapping):
        return _same_kind(value)
    if isinstance(value, (list, tuple)):
        items = [_same_kind_of("", item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, (str, PurePath)):
        text = str(value)
        cleaned = _clean_value(text)
        return value if cleaned == text else cleaned
    return value


# Arguments from the environment -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Origins:
    """Which arguments of a callback came from the environment.

    Attributes:
        place: Where the callback is given, such as `callbacks.yaml:3`.
        variables: The variables that an argument was made of, by the name of the argument.
    """

    place: str = ""
    variables: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def hidden(self) -> str:
        """Name the arguments that came from the environment, and the variables; empty if there are none."""
        return ", ".join(
            f"{argument} (from {', '.join(f'${{{name}}}' for name in names)})"
            for argument, names in self.variables.items()
        )

    def text(self, error: BaseException) -> str:
        """Say what an exception of the callback says, in one line, unless that may show a value of the environment."""
        if not self.variables:
            return text_of(error)
        return (
            f"{type(error).__name__}; its text is not shown, since it may hold the value of an argument that came "
            f"from the environment: {self.hidden}"
        )

    def described(self, error: BaseException) -> str:
        """Say the kind of an exception and what `text` says of it."""
        text = self.text(error)
        return text if self.variables or text == type(error).__name__ else f"{type(error).__name__}: {text}"

    def trace(self, error: BaseException) -> str:
        """Return where an exception was raised, and its kind, without the text of it or of those behind it.

        Of each frame that is the file, the line, the function and the line of code: no value is among them.
        """
        frames = "".join(traceback.format_tb(error.__traceback__))
        return f"Traceback (most recent call last):\n{frames}{self.described(error)}"


_NONE = Origins()


def origins_of(callback: object) -> Origins:
    """Return where the arguments of a callback came from, as `remember_origins` has noted it."""
    try:
        found = vars(callback).get("_origins")
    except TypeError:  # a class with members
        return _NONE
    return found if isinstance(found, Origins) else _NONE


def remember_origins(callback: object, origins: Origins) -> None:
    """Note on a callback where its arguments came from; it is pickled with the callback for the workers."""
    object.__setattr__(callback, "_origins", origins)


# One line -----------------------------------------------------------------------------------------------------------


def one_line(text: str) -> str:
    """Return a text in one line, with escapes in the place of control characters."""
    joined = _LINE_ENDS.sub(" ", text.strip()).replace("\t", " ")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", joined)


def text_of(error: BaseException) -> str:
    """Return what an exception says, in one line; the name of its class where it says nothing, or fails to."""
    try:
        text = one_line(str(error))
    except Exception:  # `__str__` of somebody else's class
        text = ""
    return text or type(error).__name__
