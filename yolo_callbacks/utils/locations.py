"""Check the URLs and paths that a user names, so that a slip does not become a folder of that name."""

from __future__ import annotations

import os
import re
from pathlib import Path

from yolo_callbacks.utils.redaction import clean_url

__all__ = ["absolute_path", "check_scheme", "expanded_path"]

# A scheme of one letter is a Windows drive.
_SCHEME = re.compile(r"([A-Za-z][\w+.-]+):(?!//)(/?)")


def check_scheme(name: str, url: str, schemes: frozenset[str]) -> None:
    """Refuse a URL with less than two slashes after its scheme: libraries take it for a folder of that name.

    Args:
        name: The name of the argument.
        url: Its value.
        schemes: The known schemes; another one counts only with a slash after it.

    Raises:
        ValueError: If it is such a URL.
    """
    found = _SCHEME.match(url)
    if found is None or not (found[2] or found[1] in schemes):
        return
    scheme, slash = found.groups()
    rest = clean_url(f"{scheme}://{url[found.end() :]}").removeprefix(f"{scheme}://")
    start = f"{scheme}:///" if scheme in ("file", "local", "sqlite") else f"{scheme}://"
    raise ValueError(f"{name} must begin with {start!r}, such as '{start}{rest}', received '{scheme}:{slash}{rest}'")


def expanded_path(name: str, path: str) -> str:
    """Return a path with the home folder in place of `~`.

    Args:
        name: The name of the argument.
        path: Its value.

    Raises:
        ValueError: If it begins with `~` and the home folder is not known.
    """
    found = os.path.expanduser(path)  # noqa: PTH111  pathlib takes ./~name for the home folder of a user too
    if found.startswith("~"):
        raise ValueError(f"{name}: the home folder of {found.partition('/')[0]} is not known, received {path!r}")
    return found


def absolute_path(name: str, path: str) -> str:
    """Return an absolute path, with the home folder in place of `~`.

    Args:
        name: The name of the argument.
        path: Its value.

    Raises:
        ValueError: If it begins with `~` and the home folder is not known.
    """
    return str(Path(expanded_path(name, path)).absolute())
