"""Turn the names of scalars into names that MLflow accepts."""

from __future__ import annotations

import re

__all__ = ["MetricNames"]

# MLflow 3.17 accepts letters and digits of any alphabet, `/ _ . -` and spaces; `:` too, but not where a server or a
# client runs on Windows.
_REFUSED = re.compile(r"[^\w/. -]")
_LONGEST = 250


class MetricNames:
    """Give each scalar of a run one name that MLflow accepts.

    Parentheses are left out, as Ultralytics' own integration does: `metrics/mAP50(B)` is `metrics/mAP50B`. Any other
    character that MLflow refuses becomes `_`, and so does a part between slashes that no path may have. If another
    scalar of the run has the name already, `_2` or the next number is added.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, key: str) -> str:
        """Return the name of a scalar, always the same one."""
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = self._free(_accepted(key))
            self._taken.add(name)
        return name

    def _free(self, name: str) -> str:
        number, free = 1, name
        while free in self._taken:
            number += 1
            free = f"{name[: _LONGEST - 7]}_{number}"
        return free


def _accepted(key: str) -> str:
    cleaned = _REFUSED.sub("_", key.replace("(", "").replace(")", ""))
    # MLflow refuses a name that is another path than it says
    parts = ["_" if part in ("", ".", "..") else part for part in cleaned.split("/")]
    return "/".join(parts)[:_LONGEST].rstrip("/")
