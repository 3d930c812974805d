"""Name the checkpoints of `SaveBest`, from the name of a monitor or from `filename`."""

from __future__ import annotations

import hashlib
import re

__all__ = ["first_version_stem_of", "stem_of", "validate_filename"]

# File systems allow 255 bytes in a name. To a stem are added the epoch, the longest ending, and what the name of a
# temporary file, or of one that was set aside, adds.
_MAX_FILENAME = 255 - len("-epoch9999999" + ".json" + ".corrupt" + "." + ".0123456789abcdef.tmp")
# For the name of a monitor, which may contain that of a class and be as long.
_MAX_STEM = 150
# Windows reserves these names, with any ending: a folder of checkpoints could not be copied there.
_DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)\d)(\..*)?", re.IGNORECASE)
# Ultralytics writes these files itself, and a `SaveBest` with top_k > 1 writes those with an epoch at the end.
_RESERVED = re.compile(r"last|best|(.*-)?epoch\d+", re.IGNORECASE)


def stem_of(monitor_name: str) -> str:
    """Return the name of the files of a monitor, without epoch and ending."""
    return _shortened("best-" + re.sub(r"[^\w.]+", "-", monitor_name).rstrip("-"))


def first_version_stem_of(monitor_name: str) -> str:
    """Return the name that version 0.1 gave to the files of a monitor."""
    return _shortened("best-" + re.sub(r"[^A-Za-z0-9._()-]", "-", monitor_name))


def validate_filename(filename: object) -> str:
    """Return a `filename` argument without its `.pt`.

    Raises:
        TypeError: If it is no string.
        ValueError: If it is no plain name, too long, or a name that Ultralytics or Windows reserves.
    """
    if not isinstance(filename, str):
        raise TypeError(f"filename must be a string or None, received {filename!r}")
    stem = filename.removesuffix(".pt")
    if not re.fullmatch(r"[A-Za-z0-9._()-]+", stem) or stem.startswith("."):
        raise ValueError(f"filename must be of letters, digits and ._()- without a folder, received {_shown(filename)}")
    if stem.endswith("."):
        raise ValueError(f"filename must not end in a dot, received {_shown(filename)}")
    if len(stem.encode()) > _MAX_FILENAME:
        raise ValueError(
            f"filename must have at most {_MAX_FILENAME} bytes, which leaves room for the epoch and the ending, "
            f"received {len(stem.encode())}: {_shown(filename)}"
        )
    if _DEVICES.fullmatch(stem):
        raise ValueError(f"filename must not be a name that Windows reserves, received {filename!r}")
    if _RESERVED.fullmatch(stem):
        raise ValueError(f"filename must not be last, best or one that ends in an epoch, received {filename!r}")
    return stem


def _shortened(stem: str) -> str:
    """Return a name that leaves room for an ending; of a long one only the beginning, followed by a hash."""
    if len(stem.encode()) <= _MAX_STEM:
        return stem
    digest = hashlib.sha1(stem.encode(), usedforsecurity=False).hexdigest()[:8]
    return f"{stem.encode()[:_MAX_STEM].decode(errors='ignore')}-{digest}"


def _shown(filename: str) -> str:
    """Return a file name for a message; only the start of a long one."""
    return repr(filename if len(filename) <= _MAX_STEM else f"{filename[:_MAX_STEM]}…")
