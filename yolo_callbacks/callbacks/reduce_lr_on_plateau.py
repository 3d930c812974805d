"""Lower the learning rate when a monitor no longer improves."""

from __future__ import annotations

import uuid
from typing import Any

from yolo_callbacks.adaptor import TrainerAdaptor
from yolo_callbacks.callbacks.patience_callback import PatienceCallback
from yolo_callbacks.checks import check_float, check_int
from yolo_callbacks.decisions import PlateauRule, RateCut, counted
from yolo_callbacks.files import LOGGER
from yolo_callbacks.monitor import MonitorLike
from yolo_callbacks.record import EpochRecord

__all__ = ["ReduceLROnPlateau"]


class ReduceLROnPlateau(PatienceCallback):
    """Multiply the learning rate by `factor` when a monitor has not improved for more than `patience` checks.

    The decision is that of `torch.optim.lr_scheduler.ReduceLROnPlateau` with `threshold_mode="abs"`. The cut lowers
    what Ultralytics' own schedule (linear, cosine, warm-up, `time=`) starts from, so the schedule goes on from there,
    and it holds to the end: Ultralytics overwrites a rate that is written into the optimizer at the next epoch, and
    recovery from NaN and resume bring back the rates from before the cut. On several GPUs every rank makes it.

    A check is an epoch in which the monitor has a value; one that is not finite is no improvement.

    Args:
        monitor: What to read each epoch. Defaults to `None`, the task's main metric.
        mode: `"min"` if lower is better, `"max"` if higher is better. Defaults to `"auto"`, told by the name.
        factor: What a cut multiplies the rate with, between 0 and 1. Defaults to `0.1`.
        patience: Checks without improvement that are let pass. Defaults to `10`.
        min_delta: By how much a value must be better to count, in the unit of the monitor. Defaults to `0.0001`.
        cooldown: Checks after a cut that are not counted. Defaults to `0`.
        min_lr: No cut takes the base rate of a parameter group below this. Defaults to `0.0`.
        training_phases: Whether epochs before the warm-up ends are no checks, and patience starts again when mosaic
            closes. Defaults to `False`.
        skip_untrained: Whether epochs before the first one that detects something are no checks, and later ones that
            detect nothing never improve. Defaults to `True`.

    Attributes:
        cuts: The epochs that ended with a cut, counted from 1.
        scale: What is left of the highest base rate, 1.0 before the first cut.
        best_score: The best value so far, None before there is one.
        best_epoch: The epoch of `best_score`, 0 before there is one.
        wait: Checks in a row without improvement.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `factor` is not between 0 and 1, another number is negative, or the monitor cannot be one;
            before the first epoch, if the monitor does not exist in the run.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import ReduceLROnPlateau, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, ReduceLROnPlateau("val/box_loss", factor=0.5, patience=5, min_lr=1e-5))

    Publishes `lr/scale`; with several in one suite, the later ones `lr/scale(<monitor>)`. Writes no file.
    """

    _counts_kept = (*PatienceCallback._counts_kept, "resting")

    def __init__(
        self,
        monitor: MonitorLike = None,
        mode: str = "auto",
        *,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        training_phases: bool = False,
        skip_untrained: bool = True,
    ) -> None:
        super().__init__(
            monitor, mode, min_delta=min_delta, training_phases=training_phases, skip_untrained=skip_untrained
        )
        self.factor = check_float("factor", factor)
        if not 0.0 < self.factor < 1.0:
            raise ValueError(f"factor must be between 0 and 1, received {factor!r}")
        self.patience = check_int("patience", patience, minimum=0)
        self.cooldown = check_int("cooldown", cooldown, minimum=0)
        self.min_lr = check_float("min_lr", min_lr, minimum=0.0)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        super().reset()
        self._rule: PlateauRule = PlateauRule(
            "min", self.patience, self.min_delta, self.cooldown
        )  # the run tells the mode
        self._name = uuid.uuid4().hex  # several may cut, each its own way
        self.cuts: list[int] = []
        self.scale = 1.0

    def decide(self, run: TrainerAdaptor, record: EpochRecord, value: float) -> None:
        """Count the check, and cut if the plateau was long enough."""
        self._rule.mode = self.mode
        decision = self._rule.check(record.epoch, value)
        if decision.cut:
            before, after = self._cut(run, times=len(self.cuts) + 1)
            if before != after:
                self.cuts.append(record.epoch)
                LOGGER.info(
                    f"ReduceLROnPlateau: epoch {record.epoch}, rate {_listed(before)} to {_listed(after)}, "
                    f"{self.monitor_name}: {decision.reason}"
                )
        self.publish(record, "lr/scale", self.scale)

    def resume(self, run: TrainerAdaptor) -> None:
        """Make the cuts of the run's first part again."""
        if self.cuts:
            self._cut(run, times=len(self.cuts))

    def outcome(self) -> str:
        """When it cut, and how far."""
        if not self.cuts:
            if no_check := self.no_check():
                return f"{self.monitor_name}: {no_check}"
            return f"{self.monitor_name}: no cut, {counted(self.wait, 'check')} without improvement"
        epochs = "epoch" if len(self.cuts) == 1 else "epochs"
        return f"{self.monitor_name}: rate cut to {self.scale:g} of its start, at {epochs} {_listed(self.cuts)}"

    def state_dict(self) -> dict[str, Any]:
        """Cuts and counts."""
        return {**super().state_dict(), "cuts": list(self.cuts), "scale": self.scale}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over cuts and counts."""
        super().load_state_dict(state)
        self.cuts, self.scale = [int(epoch) for epoch in state["cuts"]], float(state["scale"])

    def _cut(self, run: TrainerAdaptor, *, times: int) -> tuple[list[float], list[float]]:
        """Make all cuts so far; the rates before and after."""
        cut = RateCut(self.factor, times, self.min_lr)
        before, after = run.cut_rates(self._name, cut)
        highest = max(run.first_rates)
        self.scale = cut.apply(highest) / highest if highest else 1.0
        return before, after


def _listed(numbers: list[Any]) -> str:
    return ", ".join(f"{number:g}" for number in dict.fromkeys(numbers))
