"""Memory by epoch and phase, a warning where it grows, and a diary where it ran out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.memory_parts.diary import Moment, write_diary
from yolo_callbacks.decisions import Growth, GrowthRule
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.batches import BatchInFlight
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_int
from yolo_callbacks.utils.fields import Field, listing, mapping, number, optional, read_fields, text
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.memory import (
    GIB,
    Accelerator,
    accelerator_of,
    host_available,
    host_in_use,
    is_out_of_memory,
    workers,
)

__all__ = ["MemoryMonitor"]

_WATCHED = {
    "allocated": ("accelerator memory in tensors", "a list that keeps losses or predictions without .item()"),
    "host_process": ("host memory of this process", "cache=False or cache='disk', or a list that grows in a callback"),
    "host_workers": ("host memory of the loader's workers", "fewer workers, cache=False or cache='disk'"),
}


_MIN_RISE = 1 / 16  # GiB


class MemoryMonitor(Callback):
    """Tell how much memory training and validation take, epoch by epoch.

    Read once at the end of each phase, without a thread that samples: it takes less than 2 ms an epoch. Without an
    accelerator only the host is told of.

    Warns, once a run, when memory has grown steadily through `leak_window` epochs, and by 64 MiB or more. When memory
    runs out in training, whether Ultralytics starts the epoch again or the run ends, it writes down what was in flight:
    a diary that never raises an error of its own.

    Args:
        leak_window: Epochs through which memory must have grown for the warning. Defaults to `10`.
        snapshot: Whether torch remembers every allocation, and writes it next to the diary for
            https://pytorch.org/memory_viz. CUDA only; it costs time in every batch. Defaults to `False`.

    Attributes:
        readings: What was read last, in GiB: a mapping for each phase, `"train"` and `"val"`.
        leak: How the memory that the warning is about has grown, in GiB an epoch; None if there was none.
        diaries: The files written in this run.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `leak_window` is less than 2.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import MemoryMonitor, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, MemoryMonitor(leak_window=20))

    Publishes, in GiB, for the phases `train` and `val`: `memory/<phase>/allocated`, `…/reserved`, `…/peak` (the most
    allocated in the phase) and `…/share` (reserved, of the device, 0 to 1) with an accelerator, and everywhere
    `…/host_process`, `…/host_workers` (the processes it has started) and `…/host_available`. Writes `oom-<n>.json` in
    the run's folder for the nth out-of-memory error, `oom-rank<r>-<n>.json` on other ranks, with `snapshot` a `.pickle`
    of the same name.
    """

    every_rank: ClassVar[bool] = True

    def __init__(self, *, leak_window: int = 10, snapshot: bool = False) -> None:
        self.leak_window = validate_int("leak_window", leak_window, minimum=2)
        self.snapshot = validate_bool("snapshot", snapshot)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        self.readings: dict[str, dict[str, float]] = {}
        self.leak: float | None = None
        self.diaries: list[Path] = []
        self._accelerator: Accelerator | None = None
        self._batch = BatchInFlight()
        self._phase = "setup"
        self._retries = self._batch_size = 0
        self._growth = {name: GrowthRule(self.leak_window, _MIN_RISE) for name in _WATCHED}

    def output_files(self, task: str) -> set[str]:
        """The keys it publishes."""
        return {"memory/*"}

    # Events -----------------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Any) -> None:
        """Find the device, and start watching batches."""
        run = TrainingRun.of(trainer)
        self._accelerator = accelerator_of(run.device)
        self._batch = run.watch_batches()
        if self.snapshot and self._accelerator:
            self._accelerator.record_history(on=True)

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Start the training phase; where the epoch starts again because memory ran out, write that down."""
        run = TrainingRun.of(trainer)
        if run.memory_retries > self._retries:
            self._write_down(run, None)
        self._retries, self._batch_size = run.memory_retries, run.batch_size
        self._batch.index = -1
        self._start("train")

    def on_train_epoch_end(self, trainer: Any) -> None:
        """Read the training phase."""
        TrainingRun.of(trainer)
        self.readings = {"train": self._read()}
        self._phase = "val"

    def on_val_start(self, validator: Any) -> None:
        """Start the validation phase."""
        self._start("val" if validator.training else "final")

    def on_val_end(self, validator: Any) -> None:
        """What comes next is the checkpoint."""
        self._phase = "save"

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Read the validation phase, log both phases, and look whether memory grows."""
        if record.validated:
            self.readings["val"] = self._read()
        for phase, reading in self.readings.items():
            for name, value in reading.items():
                record.log(f"memory/{phase}/{name}", value)
        self._look_for_a_leak(self.readings.get("train", {}))

    def teardown(self, trainer: Any) -> None:
        """Write down the out-of-memory error that ended the training."""
        run = TrainingRun.of(trainer)
        if is_out_of_memory(run.failure):
            self._write_down(run, run.failure)
        if self.snapshot and self._accelerator:
            self._accelerator.record_history(on=False)
        self._accelerator = None

    def outcome(self) -> str | None:
        """What the last epoch took."""
        reading = self.readings.get("train")
        if not reading:
            return None
        parts = [f"host {reading.get('host_process', 0.0):.2f} GiB"]
        if "peak" in reading:
            parts.append(f"accelerator peak {reading['peak']:.2f} GiB")
        if self.leak is not None:
            parts.append(f"growing by {self.leak:.3g} GiB an epoch")
        if self.diaries:
            parts.append(f"out of memory, see {', '.join(path.name for path in self.diaries)}")
        return ", ".join(parts)

    def state_dict(self) -> dict[str, Any]:
        """What was read last."""
        return {"readings": self.readings, "leak": self.leak, "diaries": [str(path) for path in self.diaries]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what was read last; a leak is warned of once, also in a run that is resumed."""
        found = read_fields(
            state,
            {
                "readings": Field(mapping(mapping(number())), {}),
                "leak": Field(optional(number()), None),
                "diaries": Field(listing(text), []),
            },
        )
        self.readings, self.leak = found["readings"], found["leak"]
        self.diaries = [Path(path) for path in found["diaries"]]

    # Parts ------------------------------------------------------------------------------------------------------------

    def _start(self, phase: str) -> None:
        self._phase = phase
        if self._accelerator:
            self._accelerator.reset_peak()

    def _read(self) -> dict[str, float]:
        device = self._accelerator
        reading: dict[str, float] = {}
        if device:
            reserved, capacity, peak = device.reserved(), device.capacity(), device.peak()
            reading = {"allocated": device.allocated() / GIB, "reserved": reserved / GIB}
            if peak is not None:
                reading["peak"] = peak / GIB
            if capacity:
                reading["share"] = reserved / capacity
        host = {"process": host_in_use(), "workers": workers(), "available": host_available()[0]}
        return {**reading, **{f"host_{name}": value / GIB for name, value in host.items()}}

    def _write_down(self, run: TrainingRun, error: BaseException | None) -> None:
        self._accelerator = self._accelerator or accelerator_of(run.device)  # none yet where set-up ran out
        what = "diary"
        try:
            batch_size = self._batch_size or run.batch_size
            moment = Moment(self._phase, self._batch, batch_size, {**self.readings, "now": self._read()})
            path = write_diary(run, moment, self._accelerator, error)
            self.diaries.append(path)
            LOGGER.warning(f"MemoryMonitor: out of memory, what was in flight is in {path}")
            if self.snapshot and self._accelerator:
                what = "snapshot"
                self._accelerator.dump_history(path.with_suffix(".pickle"))
        except Exception as failure:  # the error that the user must see is the other one
            LOGGER.warning(f"MemoryMonitor: the out-of-memory {what} could not be written: {failure!r}")

    def _look_for_a_leak(self, reading: dict[str, float]) -> None:
        for name, (what, remedy) in _WATCHED.items():
            growth = self._growth[name].check(reading[name]) if name in reading else None
            if growth and self.leak is None:
                self.leak = growth.slope
                LOGGER.warning(_leak(what, growth, self.leak_window, remedy))


def _leak(what: str, growth: Growth, window: int, remedy: str) -> str:
    return (
        f"MemoryMonitor: {what} has grown through {window} epochs, by {1024 * growth.slope:.0f} MiB an epoch, "
        f"from {growth.first:.2f} to {growth.last:.2f} GiB. Try {remedy}"
    )
