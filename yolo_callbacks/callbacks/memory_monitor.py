"""Log memory by epoch and phase, warn where it grows, and write a diary where it runs out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.memory_parts.diary import Moment, write_diary
from yolo_callbacks.callbacks.memory_parts.leak import LeakWatch
from yolo_callbacks.callbacks.memory_parts.reading import read_memory
from yolo_callbacks.callbacks.monitor_parts.forwarding import forwarded
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.batches import BatchInFlight
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_int
from yolo_callbacks.utils.fields import Field, listing, mapping, number, optional, read_fields, text
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.memory import Accelerator, accelerator_of, is_out_of_memory

__all__ = ["MemoryMonitor"]


class MemoryMonitor(Callback):
    """Log how much memory training and validation use, epoch by epoch.

    Memory is read once at the end of each phase, without a thread: it takes less than 2 ms an epoch. Without an
    accelerator only the memory of the host is logged.

    One warning a run says that memory has grown steadily through `leak_window` epochs, by 64 MiB or more. When memory
    runs out in training, a diary says what was running: both where Ultralytics starts the epoch again and where the run
    ends. An error while the diary is written is a warning only.

    Args:
        leak_window: Epochs through which memory must have grown for the warning. Defaults to `10`.
        snapshot: Whether torch records every allocation and writes it beside the diary, for
            https://pytorch.org/memory_viz. CUDA only; it takes time in every batch. Defaults to `False`.

    Attributes:
        readings: The last readings, in GiB: a mapping for each phase, `"train"` and `"val"`.
        leak: How the memory of the warning has grown, in GiB an epoch; None without a warning.
        diaries: The files written in this run.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `leak_window` is less than 2.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import MemoryMonitor, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, MemoryMonitor(leak_window=20))

    Logs, in GiB, for the phases `train` and `val`: `memory/<phase>/allocated`, `…/reserved`, `…/peak` (the most
    allocated in the phase) and `…/share` (reserved, of the device, 0 to 1) with an accelerator, and everywhere
    `…/host_process`, `…/host_workers` (the processes it has started) and `…/host_available`. Writes `oom-<n>.json` in
    the run's folder for the nth out-of-memory error, `oom-rank<r>-<n>.json` on other ranks, with `snapshot` a `.pickle`
    of the same name.
    """

    every_rank: ClassVar[bool] = True

    leak: float | None = forwarded("_leak_watch.slope")

    def __init__(self, *, leak_window: int = 10, snapshot: bool = False) -> None:
        self.leak_window = validate_int("leak_window", leak_window, minimum=2)
        self.snapshot = validate_bool("snapshot", snapshot)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        self.readings: dict[str, dict[str, float]] = {}
        self.diaries: list[Path] = []
        self._accelerator: Accelerator | None = None
        self._batch = BatchInFlight()
        self._phase = "setup"
        self._retries = self._batch_size = 0
        self._leak_watch = LeakWatch(self.leak_window)

    def output_files(self, task: str) -> set[str]:
        """Return the keys of its scalars."""
        return {"memory/*"}

    # Events -----------------------------------------------------------------------------------------------------------

    def on_train_start(self, trainer: Any) -> None:
        """Find the device, and start to record the batch in flight."""
        run = TrainingRun.of(trainer)
        self._accelerator = accelerator_of(run.device)
        self._batch = run.watch_batches()
        if self.snapshot and self._accelerator:
            self._accelerator.record_history(on=True)

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Start the training phase; write a diary where the epoch starts again because memory ran out."""
        run = TrainingRun.of(trainer)
        if run.memory_retries > self._retries:
            self._write_diary(run, None)
        self._retries, self._batch_size = run.memory_retries, run.batch_size
        self._batch.index = -1
        self._start("train")

    def on_train_epoch_end(self, trainer: Any) -> None:
        """Read the training phase."""
        self.readings = {"train": self._read()}
        self._phase = "val"

    def on_val_start(self, validator: Any) -> None:
        """Start the validation phase."""
        self._start("val" if validator.training else "final")

    def on_val_end(self, validator: Any) -> None:
        """Start the phase in which the checkpoint is saved."""
        self._phase = "save"

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Read the validation phase, log both phases, and check whether memory grows."""
        if record.validated:
            self.readings["val"] = self._read()
        for phase, reading in self.readings.items():
            for name, value in reading.items():
                record.log(f"memory/{phase}/{name}", value)
        self._leak_watch.check(self.readings.get("train", {}))

    def teardown(self, trainer: Any) -> None:
        """Write a diary of the out-of-memory error that ended the training."""
        run = TrainingRun.of(trainer)
        if is_out_of_memory(run.failure):
            self._write_diary(run, run.failure)
        if self.snapshot and self._accelerator:
            self._accelerator.record_history(on=False)
        self._accelerator = None

    def outcome(self) -> str | None:
        """Return how much memory the last epoch used."""
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
        """Return the last readings, the leak and the diaries."""
        return {"readings": self.readings, "leak": self.leak, "diaries": [str(path) for path in self.diaries]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the last readings, the leak and the diaries: a resumed run does not warn of the leak again."""
        found = read_fields(
            state,
            {
                "readings": Field(mapping(mapping(number())), {}),
                "leak": Field(optional(number()), None),
                "diaries": Field(listing(text), []),
            },
        )
        self.readings, self._leak_watch.slope = found["readings"], found["leak"]
        self.diaries = [Path(path) for path in found["diaries"]]

    # Parts ------------------------------------------------------------------------------------------------------------

    def _start(self, phase: str) -> None:
        self._phase = phase
        if self._accelerator:
            self._accelerator.reset_peak()

    def _read(self) -> dict[str, float]:
        return read_memory(self._accelerator)

    def _write_diary(self, run: TrainingRun, error: BaseException | None) -> None:
        # If the set-up ran out of memory, `on_train_start` has not found the device yet.
        self._accelerator = self._accelerator or accelerator_of(run.device)
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
        except Exception as failure:  # the user must see the out-of-memory error, not this one
            LOGGER.warning(f"MemoryMonitor: the out-of-memory {what} could not be written: {failure!r}")
