"""Write the name of a monitor in words."""

from __future__ import annotations

import re

__all__ = ["in_words"]

_OF_CLASS = re.compile(r"(?:metrics/)?((?:precision|recall|mAP50|mAP50-95)(?:\([BMP]\))?)/(.+)")
_OF_SIZE = re.compile(r"(?:metrics/)?(mAP\S*)/(small|medium|large)")
_WORST = re.compile(r"min\((?:metrics/)?(.+)\)")


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
    if size := _OF_SIZE.fullmatch(name):
        return f"{size[1]} of {size[2]} objects"
    if of_class := _OF_CLASS.fullmatch(name):
        return f"{of_class[1]} of class {of_class[2]}"
    return name
