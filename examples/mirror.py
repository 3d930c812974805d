"""Keep copies of a run in a store, lose the machine in the middle, and go on from the store on another one.

python examples/mirror.py

The two machines are two folders here. On real ones, the script is only what `train` does: start it again and again.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from arguments import training
from ultralytics import YOLO

from yolo_callbacks import Callback, EarlyStopping, EpochRecord, Mirror, SaveBest, TrainingRun, attach, resume_or_train


class TakeAway(Callback):
    """Take the machine away after half of the epochs: end the process, as far as an example can."""

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Leave the training, so that it can be continued."""
        if record.epoch == run.planned_epochs // 2:
            run.end(record, evaluate=False, resumable=True)


def train(machine: Path, store: str, arguments: dict[str, Any], *others: Callback) -> Mirror:
    """Start the run, or go on with it; the arguments are the same each time."""
    model, mirror = YOLO("yolo11n.yaml"), Mirror(store)
    attach(model, *others, SaveBest("mAP50"), EarlyStopping(patience=20), mirror)
    resume_or_train(model, **{**arguments, "project": str(machine), "name": "first"})
    return mirror


def main() -> None:
    arguments = training("Lose the machine of a run, and go on from its copies in a store.", epochs=6)
    folder = Path(arguments.get("project") or tempfile.mkdtemp()).absolute()
    store = f"file://{folder}/store"  # or "s3://bucket/first", "gs://bucket/first", "sftp://host/first"
    before = train(folder / "machine-1", store, arguments, TakeAway())
    shutil.rmtree(folder / "machine-1")
    after = train(folder / "machine-2", store, arguments)
    print(
        f"Epoch {before.copied_epochs[-1]} was in the store when the machine was lost, {after.copied_epochs[-1]} is now"
    )
    print(f"The run is in {folder / 'machine-2' / 'first'}")


if __name__ == "__main__":
    main()
