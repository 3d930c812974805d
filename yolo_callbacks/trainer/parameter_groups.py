"""Apply a factor to the rate of a parameter group of an optimizer, and remove it again."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["WrittenRate", "apply_factor", "first_rate", "forget_factor", "ratio", "remove_factor"]

# Keys of a parameter group: the factor that its rate includes, and the rate without that factor. They exist only while
# the rate includes a factor. A checkpoint holds them together with the rate, so that after a resume or a recovery from
# NaN the factor of the loaded rate is known.
_SCALE, _UNSCALED = "yolo_callbacks_scale", "yolo_callbacks_unscaled_lr"


def apply_factor(group: dict[str, Any], base: float, reduced: float) -> None:
    """Apply a factor to a rate that includes none."""
    if reduced == base:
        return
    rate, factor = float(group["lr"]), ratio(reduced, base)
    group[_SCALE], group[_UNSCALED] = factor, rate
    # not `rate * factor` where the schedule is at its base rate: after rounding it would differ from the minimum rate
    _write(group, reduced if rate == base else rate * factor)


def forget_factor(group: dict[str, Any]) -> None:
    """Note that other code has replaced the rate by one that includes no factor."""
    group.pop(_SCALE, None)


def remove_factor(group: dict[str, Any]) -> None:
    """Remove the factor from a rate that includes one."""
    factor, unscaled = group.pop(_SCALE, None), group.pop(_UNSCALED, None)
    if not factor:
        return
    rate = float(group["lr"])
    untouched = unscaled is not None and math.isclose(rate, float(unscaled) * factor, rel_tol=1e-6)
    _write(group, float(unscaled) if untouched else rate / factor)


def _write(group: dict[str, Any], rate: float) -> None:
    """Write a rate as the schedulers of torch do: into the tensor where the rate is a tensor."""
    if hasattr(group["lr"], "fill_"):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


class WrittenRate:
    """Remember a rate that was written into a group, to notice another write, also of the same value.

    Args:
        rate: The rate. One of two things changes with every write: the object, or the version of a tensor.
    """

    def __init__(self, rate: Any) -> None:
        self.rate = rate
        self._version = getattr(rate, "_version", None)

    def is_still(self, rate: Any) -> bool:
        """Return whether a rate is the written one."""
        return rate is self.rate and getattr(rate, "_version", None) == self._version


def ratio(reduced: float, base: float) -> float:
    """Return the factor between two rates; 1.0 for a base rate of zero."""
    return reduced / base if base else 1.0


def first_rate(group: dict[str, Any]) -> float:
    """Return the rate from which a parameter group starts, where the scheduler does not know it."""
    rate = group.get("initial_lr")
    return float(group.get(_UNSCALED, group["lr"]) if rate is None else rate)
