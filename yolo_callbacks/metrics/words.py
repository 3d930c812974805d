"""Write the name of a monitor in words."""

from __future__ import annotations

import re

__all__ = ["in_words"]

_WORST = re.compile(r"min\((?:metrics/)?(.+)\)")
_SPLITS = ("train/", "val/", "lr/")


def in_words(name: str) -> str:
    """Return the name of a monitor, as `Monitor.name` gives it, in words for the console.

    Args:
        name: For example `"mAP50/person"`, which gives `"mAP50 of class person"`. The name of a metric stays as it is.
    """
    if name == "custom":
        return "your function"
    if "*" in name:  # a weighted sum
        return re.sub(r"(?<!^)(?<!e)\+", " + ", name).replace("*", " * ")
    if worst := _WORST.fullmatch(name):
        return f"{worst[1]} of the worst class"
    metric, slash, of_class = name.removeprefix("metrics/").partition("/")
    if slash and not name.startswith(_SPLITS):
        return f"{metric} of class {of_class}"
    return name
