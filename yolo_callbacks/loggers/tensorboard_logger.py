"""Every epoch in TensorBoard."""

from __future__ import annotations

from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.metrics.scalars import epoch_scalars, final_scalars
from yolo_callbacks.trainer.training_run import TrainerAdaptor
from yolo_callbacks.utils.files import LOGGER, copy_atomic, set_aside

__all__ = ["TensorBoardLogger"]

_FOLDER = "tensorboard"


class TensorBoardLogger(Callback):
    """Log every epoch to TensorBoard event files; needs `pip install "yolo-callbacks[tensorboard]"`.

    A resumed run goes on in the same folder: what was logged of epochs that are trained again is dropped from view.
    Switch Ultralytics' own integration off (`yolo settings tensorboard=False`, its default) to not see losses twice.

    Attributes:
        log_dir: The folder of the event files, None before the first run.

    Raises:
        ModuleNotFoundError: Before the first epoch, if TensorBoard is not installed.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import TensorBoardLogger, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, TensorBoardLogger())

    Logs, by epoch counted from 1, Ultralytics' own keys, `per_class/<class>/<metric>` for at most 100 classes, and
    what other callbacks publish; the evaluation after training under `final/` at the last epoch. Writes
    `tensorboard/events.out.tfevents.*` in the run's folder.
    """

    is_logger: ClassVar[bool] = True

    def __init__(self) -> None:
        self._writer: Any = None
        self.log_dir: str | None = None

    def __getstate__(self) -> dict[str, Any]:
        # An open file does not travel to the workers of a multi-GPU training.
        return {**self.__dict__, "_writer": None}

    def reset(self) -> None:
        """Forget the last run."""
        self._close()
        self.log_dir = None

    def claims(self, task: str) -> set[str]:
        """Return the folder that it writes."""
        return {f"{_FOLDER}/"}

    def check(self, run: TrainerAdaptor) -> bool:
        """Whether TensorBoard is installed."""
        _summary_writer()
        return True

    def on_fit_epoch_end(self, trainer: Any) -> None:
        """Log the epoch, or the final evaluation."""
        run = self.enter(trainer)
        if not run.is_main:
            return
        record = run.record()
        if self._writer is None:
            folder = run.save_dir / _FOLDER
            if folder.exists() and not folder.is_dir():
                LOGGER.warning(f"{folder} is not a folder{set_aside(folder)}")
            self.log_dir = str(folder)
            # of a resumed run, or of an earlier one in the same folder
            self._writer = _summary_writer()(self.log_dir, purge_step=record.epoch + record.final)
        for key, value in (final_scalars(record) if record.final else epoch_scalars(record)).items():
            self._writer.add_scalar(key, value, record.epoch)
        self._writer.flush()

    def on_train_end(self, trainer: Any) -> None:
        """Close the file."""
        self._close()

    def teardown(self, trainer: Any) -> None:
        """Close the file, also after an error."""
        self._close()

    def resume(self, run: TrainerAdaptor) -> None:
        """Take the event files along from the folder that the run was moved to."""
        if run.moved_from is None:
            return
        for source in sorted((run.moved_from / _FOLDER).glob("events.out.tfevents.*")):
            target = run.save_dir / _FOLDER / source.name
            if not target.exists():
                target.parent.mkdir(exist_ok=True)
                copy_atomic(source, target)

    def _close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()


def _summary_writer() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'TensorBoardLogger needs TensorBoard: pip install "yolo-callbacks[tensorboard]"'
        ) from error
    return SummaryWriter
