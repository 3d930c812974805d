"""Guard other monitors: `SaveBest` saves no epoch in which one of them has got worse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yolo_callbacks.decisions.guard import Guarded, broken_guard
from yolo_callbacks.metrics.epoch_record import EpochRecord, MetricNames
from yolo_callbacks.metrics.monitor import Monitor
from yolo_callbacks.utils.arguments import validate_float
from yolo_callbacks.utils.files import LOGGER

__all__ = ["Guards", "validate_guard"]


class Guards:
    """Compare guarded monitors with their values at the last best epoch.

    Args:
        tolerances: By how much each monitor may be worse, by its name.

    Attributes:
        reference: The values at the last best epoch, by the name of the monitor.
    """

    def __init__(self, tolerances: Mapping[str, float]) -> None:
        self._tolerances = tolerances
        self._monitors = {name: Monitor(name) for name in tolerances}
        self.reference: dict[str, float | None] = {}

    def bind(self, metric_names: MetricNames) -> bool:
        """Check that every monitor exists; return False while one may be a loss without a name yet."""
        bound = [monitor.bind(metric_names) for monitor in self._monitors.values()]  # each, to find every wrong name
        return all(bound)

    def reads_sizes(self, metric_names: MetricNames) -> bool:
        """Return whether one of the monitors reads a metric of the objects of one size."""
        return any(monitor.reads_sizes(metric_names) for monitor in self._monitors.values())

    def hold(self, record: EpochRecord) -> bool:
        """Return whether no monitor has got too much worse; log which one has."""
        guards = {name: Guarded(self._tolerances[name], each.known_mode) for name, each in self._monitors.items()}
        reason = broken_guard(guards, self._values(record), self.reference)
        if reason:
            LOGGER.info(f"SaveBest: epoch {record.epoch} not saved, {reason}")
        return reason is None

    def remember(self, record: EpochRecord) -> None:
        """Take the values of a new best epoch as the reference."""
        self.reference = self._values(record)

    def state_dict(self) -> dict[str, Any]:
        """Return the reference."""
        return {"reference": self.reference}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the reference from a validated state."""
        self.reference = state["reference"]

    def _values(self, record: EpochRecord) -> dict[str, float | None]:
        return {name: monitor.value(record) for name, monitor in self._monitors.items()}


def validate_guard(guard: object) -> dict[str, float]:
    """Return a `guard` argument as tolerances by the name of a monitor.

    Raises:
        TypeError: If it is no mapping of names to numbers.
        ValueError: If a tolerance is negative or not finite.
    """
    if not isinstance(guard, Mapping):
        raise TypeError(f"guard must map names of monitors to numbers, received {guard!r}")
    for name in guard:
        if not isinstance(name, str):
            raise TypeError(f"guard must map names of monitors to numbers, received the name {name!r}")
    return {name: validate_float(f"guard[{name!r}]", tolerance, minimum=0.0) for name, tolerance in guard.items()}
