"""Hold the metrics of an epoch by their keys, and name the nearest key where one is missing."""

from __future__ import annotations

from yolo_callbacks.utils.unknown_arguments import hint

__all__ = ["EpochMetrics"]


class EpochMetrics(dict[str, float]):
    """The metrics of an epoch, under the keys of Ultralytics.

    Raises:
        KeyError: If there is no such key; the message names the keys that contain it, or the nearest one.

    Example:
        >>> EpochMetrics({"metrics/mAP50(B)": 0.5})["mAP50"]
        Traceback (most recent call last):
            ...
        KeyError: "no metric 'mAP50' in this epoch, did you mean 'metrics/mAP50(B)'?"
    """

    def __missing__(self, key: object) -> float:
        name = str(key)
        containing = sorted((each for each in self if name and name in each), key=len)
        meant = f", did you mean {containing[0]!r}?" if containing else hint(name, self)
        raise KeyError(f"no metric {name!r} in this epoch{meant}")
