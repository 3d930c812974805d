"""Log every epoch to TensorBoard event files."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.scalars import epoch_scalars, final_scalars
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.files import LOGGER, copy_atomic, set_aside

__all__ = ["TensorBoardLogger"]

_FOLDER = "tensorboard"

_NOT_INSTALLED = "TensorBoard is not installed: pip install tensorboard"


class TensorBoardLogger(Callback):
    """Log every epoch to TensorBoard event files; needs `pip install tensorboard`.

    A resumed run continues in the same folder. TensorBoard hides what was logged of epochs that are trained again.
    Ultralytics' own integration, which `yolo settings tensorboard=True` switches on, shows the losses a second time.

    Attributes:
        log_dir: The folder of the event files, None before the first run.

    Raises:
        ModuleNotFoundError: Before the first epoch, if TensorBoard is not installed.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import TensorBoardLogger, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, TensorBoardLogger())

    Logs by epoch, counted from 1: Ultralytics' own keys, `per_class/<class>/<metric>` for at most 100 classes, and the
    scalars of other callbacks. Logs the evaluation after training under `final/`, at the last epoch. Writes
    `tensorboard/events.out.tfevents.*` in the run's folder.
    """

    is_logger: ClassVar[bool] = True

    def __init__(self) -> None:
        self._writer: Any = None
        self.log_dir: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        # The workers of a multi-GPU training get a pickled copy, and an open file cannot be pickled.
        return {**self.__dict__, "_writer": None}

    def reset(self) -> None:
        """Forget the last run."""
        self._close()
        self.log_dir = None

    def output_files(self, task: str) -> set[str]:
        """Return the folder of the event files."""
        return {f"{_FOLDER}/"}

    def validate(self, run: TrainingRun) -> bool:
        """Check that TensorBoard is installed."""
        _summary_writer()
        return True

    def _unmet_needs(self) -> str:
        return "" if find_spec("tensorboard") is not None else _NOT_INSTALLED

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Log the epoch."""
        self._log(run, epoch_scalars(record), record.epoch, first_step=record.epoch)

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """Log the final evaluation at the last epoch."""
        self._log(run, final_scalars(record), record.epoch, first_step=record.epoch + 1)

    def on_train_end(self, trainer: Any) -> None:
        """Close the file."""
        self._close()

    def teardown(self, trainer: Any) -> None:
        """Close the file after an error too."""
        self._close()

    def outcome(self) -> str | None:
        """Return where the event files are."""
        return None if self.log_dir is None else f"wrote {self.log_dir}"

    def resume(self, run: TrainingRun) -> None:
        """Copy the event files of a run that continues in another folder."""
        if run.moved_from is None:
            return
        for source in sorted((run.moved_from / _FOLDER).glob("events.out.tfevents.*")):
            target = run.save_dir / _FOLDER / source.name
            if not target.exists():
                target.parent.mkdir(exist_ok=True)
                copy_atomic(source, target)

    def _log(self, run: TrainingRun, scalars: Mapping[str, float], step: int, *, first_step: int) -> None:
        if self._writer is None:
            self._writer = self._open(run.save_dir / _FOLDER, first_step)
        for key, value in scalars.items():
            self._writer.add_scalar(key, value, step)
        self._writer.flush()

    def _open(self, folder: Path, first_step: int) -> Any:
        if folder.exists() and not folder.is_dir():
            LOGGER.warning(f"{folder} is not a folder{set_aside(folder)}")
        self.log_dir = str(folder)
        # TensorBoard hides steps from here on: they belong to an interrupted run, or to an earlier one in this folder.
        return _summary_writer()(self.log_dir, purge_step=first_step)

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(_NOT_INSTALLED) from error
    return SummaryWriter
