"""Free memory that the training no longer needs."""

from __future__ import annotations

import gc
from collections.abc import Callable
from time import perf_counter
from typing import Any, ClassVar, Literal

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.decisions.freeing import Cadence, cache_is_idle, host_is_short
from yolo_callbacks.trainer import finished
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_choice, validate_float, validate_int
from yolo_callbacks.utils.fields import Field, mapping, number, read_fields
from yolo_callbacks.utils.memory import (
    GIB,
    Accelerator,
    accelerator_of,
    host_available,
    host_in_use,
    is_out_of_memory,
    trim_host,
)

__all__ = ["MemoryCleanup"]

_STEPS = ("accelerator", "host", "collection")
_NAMES = {"accelerator": "accelerator memory", "host": "host memory"}


class MemoryCleanup(Callback):
    """Free memory between trainings, and while a training has little of it left.

    It frees after an epoch, never between its batches:

    - the cache of the accelerator, if the reserved share of the device is above `gpu_threshold` and more than half of
      the reserved memory is unused;
    - if less than a tenth of the memory of the host or container is available: objects that only refer to each other
      (garbage collection, 0.2 to 0.4 s), and the free pages of the C library (glibc's `malloc_trim`; with another C
      library nothing).

    Each step is measured. A step is repeated an eighth as often, down to every 64th time, if it frees less than 16 MiB
    or less than 256 MiB a second, or if training uses the memory again at once. Another rank never makes a step more
    often than rank 0.

    At the end of a run it frees the pages of the C library. What the trainer holds stays readable as without this
    callback: `trainer.ema`, `optimizer`, `scheduler`, and the loaders with their workers and data sets. It is released
    when the next training of the process starts, or if less than a tenth of the host's memory is available at an event
    of a training. After an out-of-memory error it is released at once, so that the next attempt has room.

    With `release="end"` it is released at the end of the run. This stays readable: `model.trainer.best`, `.metrics`,
    `.args`, `model.metrics`, `model.val()`, `model.predict()`, `model.export()`, another `train()`, and `resume`; after
    a failure, what `model.trainer.save_model()` needs stays too.

    Args:
        gpu_threshold: The share of the accelerator's memory, 0 to 1, that must be reserved before its cache is
            emptied. Defaults to `0.5`.
        host: Whether the memory of the host is freed too. Defaults to `True`.
        every: The shortest interval between two steps, in epochs. Defaults to `1`.
        release: When to release what a finished trainer holds: `"next"` at the start of the next training of the
            process, or `"end"` at the end of its own. Defaults to `"next"`.

    Attributes:
        freed: The GiB that each step has freed in this process: `"accelerator"`, `"host"`, `"collection"`.
        seconds: How long each step has taken in all.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `gpu_threshold` is not between 0 and 1, `every` is less than 1, or `release` is neither of the
            two.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import MemoryCleanup, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, MemoryCleanup(gpu_threshold=0.7))

    Logs `memory/freed`, in GiB, in the epochs in which it has freed something. Writes no file.
    """

    every_rank: ClassVar[bool] = True
    needs_start: ClassVar[bool] = False

    def __init__(
        self,
        *,
        gpu_threshold: float = 0.5,
        host: bool = True,
        every: int = 1,
        release: Literal["next", "end"] = "next",
    ) -> None:
        self.gpu_threshold = validate_float("gpu_threshold", gpu_threshold, minimum=0.0)
        if self.gpu_threshold > 1.0:
            raise ValueError(f"gpu_threshold must be between 0 and 1, received {gpu_threshold!r}")
        self.host = validate_bool("host", host)
        self.every = validate_int("every", every, minimum=1)
        self.release = validate_choice("release", release, ("next", "end"))
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        self.freed = dict.fromkeys(_STEPS, 0.0)
        self.seconds = dict.fromkeys(_STEPS, 0.0)
        self._cadences = {step: Cadence(self.every) for step in ("accelerator", "collection")}
        self._released = False

    def on_pretrain_routine_start(self, trainer: Any) -> None:
        """Release what finished trainers of this process still hold."""
        self._release_finished()

    def on_train_start(self, trainer: Any) -> None:
        """Release them here too where the host is short of memory; never the trainer that trains now."""
        run = TrainingRun.of(trainer)
        finished.discard(trainer)
        if run.is_main and finished.any_left() and host_is_short(*host_available()):
            self._release_finished()

    def on_fit_epoch_end(self, trainer: Any) -> None:
        """Make the steps that are due."""
        run = TrainingRun.of(trainer)
        if run.final:
            return
        before = sum(self.freed.values())
        self._free(run)
        freed = sum(self.freed.values()) - before
        if run.is_main and freed > 0:
            run.record().log("memory/freed", freed)

    def teardown(self, trainer: Any) -> None:
        """Finalize here where no suite calls `finalize` after the `teardown` of every callback."""
        run = TrainingRun.of(trainer)
        if not run.in_suite(self):
            self.finalize(run)

    def finalize(self, run: TrainingRun) -> None:
        """Release what the trainer holds, now or at the next training, and free the pages of the C library."""
        if self._released:
            return
        self._released = True
        if self.release == "end" or is_out_of_memory(run.failure):
            run.release()
            self._free_now(accelerator_of(run.device), collect=is_out_of_memory(run.failure))
        else:
            finished.add(run.trainer)
            if self.host:
                self._step("host", trim_host, host_in_use)

    def _release_finished(self) -> None:
        for device in finished.release_all():
            self._free_now(accelerator_of(device), collect=host_is_short(*host_available()))

    def _free_now(self, accelerator: Accelerator | None, *, collect: bool) -> None:
        # What is released is freed without a collection: measured with 8.4.190, the EMA, the optimizer, its state, and
        # the loaders with their data sets are in no cycle of references.
        if self.host and collect:
            self._step("collection", gc.collect, host_in_use)
        if accelerator:
            self._step("accelerator", accelerator.empty_cache, accelerator.reserved)
        if self.host:
            self._step("host", trim_host, host_in_use)

    def outcome(self) -> str:
        """Return how much was freed, and how long it took."""
        freed = [f"{self.freed[step]:.2f} GiB of {name}" for step, name in _NAMES.items() if self.freed[step] >= 0.005]
        return f"freed {' and '.join(freed)} in {sum(self.seconds.values()):.2f} s" if freed else "nothing to free"

    def state_dict(self) -> dict[str, Any]:
        """Return what was freed, to read it after a training in other processes."""
        return {"freed": dict(self.freed), "seconds": dict(self.seconds)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the counts."""
        counts = Field(mapping(number(0.0)), {})
        found = read_fields(state, {"freed": counts, "seconds": counts})
        self.freed, self.seconds = ({step: found[name].get(step, 0.0) for step in _STEPS} for name in found)

    def _free(self, run: TrainingRun) -> None:
        epoch = run.epoch
        accelerator = accelerator_of(run.device)
        if finished.any_left() and host_is_short(*host_available()):
            self._release_finished()
        if self.host and self._due("collection", run, epoch) and host_is_short(*host_available()):
            self._step("collection", gc.collect, host_in_use, epoch)
            self._step("host", trim_host, host_in_use)
        if accelerator and self._due("accelerator", run, epoch):
            allocated, reserved, capacity = accelerator.allocated(), accelerator.reserved(), accelerator.capacity()
            if cache_is_idle(allocated=allocated, reserved=reserved, capacity=capacity, threshold=self.gpu_threshold):
                self._step("accelerator", accelerator.empty_cache, accelerator.reserved, epoch)
        if run.is_main:  # the others read it in the next epoch, as this process does
            run.shared.next_cleanups = {step: cadence.next_epoch for step, cadence in self._cadences.items()}

    def _due(self, step: str, run: TrainingRun, epoch: int) -> bool:
        next_epoch = self._cadences[step].next_epoch
        if not run.is_main:  # if rank 0 has nothing of this kind to free, the interval of this rank counts
            next_epoch = max(next_epoch, run.shared.next_cleanups.get(step, self.every))
        return epoch >= next_epoch

    def _step(self, step: str, free: Callable[[], object], in_use: Callable[[], int], epoch: int | None = None) -> None:
        before, started = in_use(), perf_counter()
        free()
        seconds, after = perf_counter() - started, in_use()
        self.freed[step] += max(before - after, 0) / GIB
        self.seconds[step] += seconds
        if epoch is not None:
            self._cadences[step].stepped(epoch, before=before, after=after, seconds=seconds)
