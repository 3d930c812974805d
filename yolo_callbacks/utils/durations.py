"""Read durations and points in time as users write them."""

from __future__ import annotations

import re
from datetime import datetime

from yolo_callbacks.utils.arguments import validate_float

__all__ = ["process_start", "validate_duration", "validate_moment"]

_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]?\d):([0-5]?\d)")
_UNITS = re.compile(r"(?:(\d+)\s*d)?\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*m(?:in)?)?\s*(?:(\d+)\s*s)?")
_SHORT_CLOCK = re.compile(r"\d+:[0-5]?\d")
_SECONDS = (86400, 3600, 60, 1)


def validate_duration(name: str, value: object, *, minimum: float | None = None) -> float:
    """Return a duration in seconds: of a number of seconds, `"11:50:00"`, `"1-00:00:00"` with days, or `"1h30m"`.

    Args:
        name: The name of the argument, for messages.
        value: The duration.
        minimum: The least seconds. Defaults to `None`: more than 0.

    Raises:
        TypeError: If `value` is neither a number nor a string.
        ValueError: If it is no duration, or too short.
    """
    if isinstance(value, str):
        text = value.strip().lower()
        found = _CLOCK.fullmatch(text) or _UNITS.fullmatch(text)
        if not text or found is None:
            meant = f": write '{text}:00' for hours, '0:{text}' for minutes" if _SHORT_CLOCK.fullmatch(text) else ""
            raise ValueError(
                f"{name} must be a duration such as '11:50:00', '1h30m' or 5400, received {value!r}{meant}"
            )
        seconds = float(sum(int(number or 0) * unit for number, unit in zip(found.groups(), _SECONDS, strict=True)))
    else:
        seconds = validate_float(name, value, minimum=minimum or 0)
    if minimum is not None and seconds < minimum:
        raise ValueError(f"{name} must be at least {minimum:g} s, received {value!r}")
    if minimum is None and not seconds:
        raise ValueError(f"{name} must be greater than 0, received {value!r}")
    return seconds


def validate_moment(name: str, value: object) -> float:
    """Return a date with its time in seconds since 1970; without a time zone it is that of this machine.

    Raises:
        TypeError: If `value` is neither a string nor a `datetime`.
        ValueError: If it is no date with a time.
    """
    if isinstance(value, datetime):
        return value.timestamp()
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a date and time such as '2026-11-27 18:00', received {value!r}")
    try:
        moment = datetime.fromisoformat(re.sub("Z$", "+00:00", value.strip()))  # Python 3.10 does not read the Z
    except ValueError:
        moment = None
    if moment is None or ":" not in value:
        raise ValueError(f"{name} must be a date and time such as '2026-11-27 18:00', received {value!r}")
    return moment.timestamp()


def process_start() -> float:
    """Return when this process started, in seconds since 1970."""
    import psutil

    return float(psutil.Process().create_time())
