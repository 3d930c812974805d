"""Write a diary of an out-of-memory error: what was running, and what to try."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from yolo_callbacks.trainer.batches import BatchInFlight
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.files import write_json
from yolo_callbacks.utils.memory import Accelerator
from yolo_callbacks.utils.version import versions

__all__ = ["Moment", "suggest", "write_diary"]

_MANY_INSTANCES = 50  # an image


@dataclass(frozen=True)
class Moment:
    """Describe what a training was doing when memory ran out.

    Attributes:
        phase: `"setup"`, `"train"`, `"val"`, `"save"` of the checkpoint, or `"final"`, the evaluation after training.
        batch: The batch in flight, or the last one before a validation.
        batch_size: The batch size that it ran with.
        readings: Memory in GiB, by phase and now.
    """

    phase: str
    batch: BatchInFlight
    batch_size: int
    readings: Mapping[str, Mapping[str, float]]


def write_diary(run: TrainingRun, moment: Moment, accelerator: Accelerator | None, error: BaseException | None) -> Path:
    """Write the diary into the run's folder.

    Args:
        run: The training.
        moment: What it was doing.
        accelerator: Its device, None for the CPU.
        error: The error that ends the training; None where Ultralytics starts the epoch again and shows no error.

    Returns:
        The file; each error has a file of its own.
    """
    rank, number = f"rank{run.rank}-" if run.rank else "", 1
    while (path := run.save_dir / f"oom-{rank}{number}.json").exists():
        number += 1
    batch = moment.batch
    suggestion = suggest(
        phase=moment.phase,
        batch_size=moment.batch_size,
        image_size=run.image_size,
        images=batch.shape[0] if batch.shape else 0,
        instances=batch.instances,
        device=run.device.type,
        retried=error is None,
    )
    content: dict[str, Any] = {
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "fatal": error is not None,
        "error": None if error is None else f"{type(error).__name__}: {error}"[:2000],
        "suggestion": suggestion,
        "epoch": run.epoch,
        "phase": moment.phase,
        "batch": batch.index + 1,
        "batch_size": moment.batch_size,
        "batch_shape": list(batch.shape),
        "instances": batch.instances,
        "image_size": run.image_size,
        "retry": run.memory_retries,
        "device": str(run.device),
        "memory_gib": moment.readings,
        "memory_summary": accelerator.summary() if accelerator else None,
        "versions": versions(),
    }
    write_json(path, content)
    return path


def suggest(
    *, phase: str, batch_size: int, image_size: int, images: int, instances: int | None, device: str, retried: bool
) -> str:
    """Return what to try first, in one or two sentences.

    Args:
        phase: See `Moment`.
        batch_size: The batch size of the run, all processes together.
        image_size: The run's `imgsz`.
        images: How many images were in the batch in flight; 0 if unknown.
        instances: How many boxes they had, None if unknown.
        device: The type of the device in torch, such as `"cuda"`.
        retried: Whether Ultralytics starts the epoch again with half the batch size.
    """
    half = batch_size // 2
    if half < 1:
        first = f"imgsz={max(image_size // 2, 32)}"
    elif retried:
        first = f"The training goes on with half of batch={batch_size}; give batch={half} to start with it"
    elif phase in ("val", "final"):
        first = f"batch={half}, which makes the batches of validation smaller too"
    else:
        first = f"batch={half}"
    hints = []
    if instances is not None and images and instances > _MANY_INSTANCES * images:
        hints.append(f"the batch had {instances} boxes in {images} images, and the loss grows with their number")
    if device == "cpu":
        hints.append("fewer workers and cache=False take less of the host's memory")
    else:
        hints.append("a smaller imgsz or model, amp=True and multi_scale=0 take less of the device")
    return ". ".join([first, *(hint[0].upper() + hint[1:] for hint in hints)]) + "."
