"""Log a training to Weights & Biases; the training never waits for it and never fails because of it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.loggers.logger_parts.training_names import lasting_folder
from yolo_callbacks.loggers.wandb_parts.alerts import Alerts
from yolo_callbacks.loggers.wandb_parts.batch_losses import BatchLosses
from yolo_callbacks.loggers.wandb_parts.ending import Upload
from yolo_callbacks.loggers.wandb_parts.history import History
from yolo_callbacks.loggers.wandb_parts.media import ValidationImages, last_uploads
from yolo_callbacks.loggers.wandb_parts.options import refuse_unknown_init, target_of
from yolo_callbacks.loggers.wandb_parts.session import WandbSession
from yolo_callbacks.loggers.wandb_parts.workspace import Publication, check_installed
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.integrations import WANDB, drop_integration
from yolo_callbacks.trainer.run_description import describe
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_int, validate_optional_str
from yolo_callbacks.utils.durations import validate_duration
from yolo_callbacks.utils.fields import Field, StateError, listing, optional, read_fields, text, whole
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.origins import origins_of
from yolo_callbacks.utils.redaction import clean_arguments
from yolo_callbacks.utils.stored_paths import found_path, stored_path

__all__ = ["WandbLogger"]

_MODES = ("online", "offline", "disabled", "shared")


class WandbLogger(Callback):
    """Log a training to Weights & Biases: losses, metrics, rates, classes, validation images, the best checkpoint.

    If a W&B run is open, by `wandb.init` or by a sweep, it is used and left open. Otherwise the logger opens one under
    the names of the training's project and folder, and finishes it: with exit code 1 if the training failed. A resumed
    training continues its run.

    A thread opens the run and sends the rows, beside the training. Without an API key, a network, or a server that
    answers within `init_timeout`, the run goes on offline. The table at the end of the training names what did not
    arrive and the commands that upload it.

    Ultralytics' own integration is removed from a training that has this one.

    Args:
        project: W&B project. Defaults to `None`: `WANDB_PROJECT`, else the last part of the training's `project=`.
        name: Name of the run. Defaults to `None`: `WANDB_NAME`, else that of the run's folder.
        entity: User or team. Defaults to `None`, W&B's own default.
        mode: `"online"`, `"offline"`, `"disabled"` or `"shared"`. Defaults to `None`, the value of `WANDB_MODE`.
        images: Number of validation images to log with labels and predictions, always the same ones; 0 for none, and
            for no plot that shows images. Defaults to `16`.
        image_period: Epochs from one logging of images to the next. The last epoch logs them too, and the final
            evaluation, under `final/images`. Defaults to `5`.
        batch_period: Batches from one logging of batch losses to the next; 0 for none. Defaults to `20`.
        log_model: `"best"` to log best.pt as an artifact at the end, `False` for none. Defaults to `"best"`.
        alerts: Whether to send alerts for a stop, a NaN, an out-of-memory error and the end. Defaults to `False`.
        dashboard: Whether to publish a workspace for the project beside the training, unless `yolo-callbacks` has
            published one before. Needs the extra `dashboard`. Defaults to `False`.
        init_timeout: Seconds that the start may take, or a duration such as `"2m"`. Defaults to `10`.
        finish_timeout: Seconds that the end may take, uploads included, or a duration. Defaults to `30`.
        background: Whether the run is opened beside the training. `False` opens it before `on_train_start` returns, for
            code that uses `wandb` itself. Defaults to `True`.
        **init: Further arguments of `wandb.init`, such as `tags` or `group`; they are passed on unchanged.

    Attributes:
        run: The `wandb.Run`, None outside a training. Waits until it is open, at most `init_timeout`.
        run_id: The id of the run, None before the first run.

    Raises:
        TypeError: If an argument has the wrong type, or neither the logger nor `wandb.init` has it.
        ValueError: If a number is out of its range, or `mode` or `log_model` has none of the values above.
        ImportError: Before the first epoch, if `dashboard` is True and wandb-workspaces is not installed.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import WandbLogger, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, WandbLogger("crowns", images=0))

    Logs one row an epoch, with `epoch`, counted from 1, as the axis: Ultralytics' own keys,
    `per_class/<class>/<metric>` for at most 100 classes (beyond that a table `per_class` at the end), and what other
    callbacks log. Logs `batch/<loss>` over `batch/step`, `validation/images`, and at the end `final/…`, `curves/…`,
    `confusion_matrix`, `plots/…` and, with `FailingImages`, the table `failing/worst`. Writes `wandb/` in the run's
    folder, or in the folder that `WANDB_DIR` names. In an iteration of `model.tune()` it writes `wandb/` in the folder
    of the search, which stays, and the iterations are a group in the project of the search.
    """

    is_logger: ClassVar[bool] = True

    def __init__(
        self,
        project: str | None = None,
        name: str | None = None,
        *,
        entity: str | None = None,
        mode: str | None = None,
        images: int = 16,
        image_period: int = 5,
        batch_period: int = 20,
        log_model: Literal["best", False] = "best",
        alerts: bool = False,
        dashboard: bool = False,
        init_timeout: float | str = 10,
        finish_timeout: float | str = 30,
        background: bool = True,
        **init: Any,
    ) -> None:
        if init:
            refuse_unknown_init(type(self).__name__, inspect.signature(WandbLogger).parameters, init)
        self.project = validate_optional_str("project", project)
        self.name = validate_optional_str("name", name)
        self.entity = validate_optional_str("entity", entity)
        self.mode = validate_optional_str("mode", mode)
        if self.mode is not None and self.mode not in _MODES:
            raise ValueError(f"mode must be one of {', '.join(_MODES)}, received {mode!r}")
        self.images = validate_int("images", images, minimum=0)
        self.image_period = validate_int("image_period", image_period, minimum=1)
        self.batch_period = validate_int("batch_period", batch_period, minimum=0)
        if log_model != "best" and log_model is not False:
            raise ValueError(f"log_model must be 'best' or False, received {log_model!r}")
        self.log_model = log_model
        self.alerts = validate_bool("alerts", alerts)
        self.dashboard = validate_bool("dashboard", dashboard)
        self.init_timeout = validate_duration("init_timeout", init_timeout, minimum=1)
        self.finish_timeout = validate_duration("finish_timeout", finish_timeout, minimum=1)
        self.background = validate_bool("background", background)
        self.init = init
        self._session: WandbSession | None = None
        self.reset()

    def __getstate__(self) -> dict[str, Any]:
        # A W&B run belongs to its process; a worker of a multi-GPU training opens its own.
        return {**self.__dict__, "_session": None, "_publication": None}

    @property
    def run(self) -> Any:
        """The `wandb.Run`, None outside a training; waits until it is open, at most `init_timeout`."""
        return self._session.run if self._session else None

    def reset(self) -> None:
        """Forget the last run; one that is still open belongs to a training that failed."""
        if self._session is not None:
            self._session.close({}, failed=True)
        self._session = None
        self._publication: Publication | None = None
        self.run_id: str | None = None
        self._folders: list[str] = []
        self._run_folder = Path()
        self._outcome = "nothing logged"
        self._history = History(images=self.images > 0)
        self._batch_losses = BatchLosses(self.batch_period)
        self._validation_images = ValidationImages(self.images, self.image_period)
        self._alerts = Alerts(enabled=self.alerts)

    def output_files(self, task: str) -> set[str]:
        """Return the W&B run that it logs to, as far as it is known before a training."""
        target = {"entity": self.entity, "project": self.project, "name": self.name, "id": self.init.get("id")}
        named = ", ".join(f"{key} {value!r}" for key, value in target.items() if value is not None)
        return {f"the W&B run of {named}" if named else "the W&B run"}

    def validate(self, run: TrainingRun) -> bool:
        """Check that the library for the dashboard is installed."""
        self._run_folder = run.save_dir
        if self.dashboard:
            check_installed()
        return True

    def _unmet_needs(self) -> str:
        if find_spec("wandb") is None:
            return "wandb is not installed: pip install wandb"
        try:
            if self.dashboard:
                check_installed()
        except ImportError as error:
            return str(error)
        return ""

    # Start ------------------------------------------------------------------------------------------------------------

    def on_pretrain_routine_start(self, trainer: Any) -> None:
        """Switch Ultralytics' own integration off, so that one of the two logs."""
        if drop_integration(TrainingRun.of(trainer), WANDB):
            LOGGER.info("WandbLogger: Ultralytics' own W&B integration is off in this training, this one logs")

    def on_train_start(self, trainer: Any) -> None:
        """Open the run."""
        run = TrainingRun.of(trainer)
        if not run.is_main:
            return
        session = self._session = WandbSession(
            self._init_arguments(run),
            init_timeout=self.init_timeout,
            finish_timeout=self.finish_timeout,
            spare=lasting_folder(run),
            describe=origins_of(self).described,
            folders=self._folders,
        )
        resumed = self.run_id is not None and session.owned
        past = self._history.past_rows(session, run.past) if resumed else []
        config = clean_arguments(describe(run))
        # what the user or a sweep has set is kept
        session.call("config", lambda opened: opened.config.setdefaults(config))
        if self.dashboard:
            self._publication = Publication(run.task, list(run.names.values()))
            session.call("dashboard", self._publication.start)
        session.start(past=past, background=self.background)
        session.print_news()

    def _init_arguments(self, run: TrainingRun) -> dict[str, Any]:
        resumed = {"id": self.run_id, "resume": "allow"} if self.run_id else {}
        target = target_of(run, self.project, self.name)
        return {**target, "entity": self.entity, "mode": self.mode, **resumed, **self.init}

    # Epochs -----------------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Print what W&B has answered, and start to count batches."""
        self._batch_losses.start_epoch()
        if self._session is not None:
            run = TrainingRun.of(trainer)
            self._session.print_news()
            self._alerts.on_epoch_start(self._session, run.epoch, run.batch_size)

    def listens_to(self, event: str) -> bool:
        """Return whether the logger does something at an event; at the end of a batch only with `batch_period`."""
        return super().listens_to(event) and (event != "on_train_batch_end" or self.batch_period > 0)

    def on_train_batch_end(self, trainer: Any) -> None:
        """Keep the losses of the batch."""
        self._batch_losses.collect(trainer)

    def on_train_epoch_end(self, trainer: Any) -> None:
        """Decide whether images are collected from the validation of this epoch."""
        run = TrainingRun.of(trainer)
        self._alerts.on_epoch_trained(run.epoch)
        self._validation_images.collection.choose_epoch(run.epoch, run.planned_epochs)

    def on_val_start(self, validator: Any) -> None:
        """Collect images from this validation."""
        self._validation_images.collection.listen(validator)

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Log the epoch, unless it was logged before."""
        if self._session is None:
            return
        images = self._validation_images.take(record.names, "validation/images", _failures(run, record))
        if self._history.is_new(record):
            self._batch_losses.log(self._session, run)
            self._history.log_epoch(self._session, record, images)
            self._alerts.on_epoch(self._session, record, stopping=run.stopping)
            self._validation_images.collection.choose_final(stopping=run.stopping)

    # End --------------------------------------------------------------------------------------------------------------

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """Log the final evaluation."""
        if self._session is not None:
            images = self._validation_images.take(record.names, "final/images", _failures(run, record))
            self._history.log_final(self._session, record, images)

    def on_train_end(self, trainer: Any) -> None:
        """Upload what is large, and finish the run; mark a run as preempting that is to be resumed."""
        run = TrainingRun.of(trainer)
        preempted = run.left is not None and run.left.resumable
        if self._session is not None and preempted:
            self._session.call("preempting", lambda opened: opened.mark_preempting())
        self._close(run, failure=None, preempted=preempted)

    def teardown(self, trainer: Any) -> None:
        """Finish the run of a training that failed, was pruned or was stopped: best.pt is not stripped there."""
        run = TrainingRun.of(trainer)
        if self._session is not None and run.failure is not None and run.seconds_left < math.inf:
            self._session.call("preempting", lambda opened: opened.mark_preempting())
        self._close(run, failure=run.failure, interrupted=True)

    def _close(
        self, run: TrainingRun, *, failure: BaseException | None, preempted: bool = False, interrupted: bool = False
    ) -> None:
        session = self._session
        if session is None or not run.is_main:
            return
        if session.inherited:
            self._session = None
            return
        uploads: dict[str, Upload] = {}
        failed = failure is not None or preempted  # W&B takes a preempting run with exit code 0 for a finished one
        try:
            self._alerts.on_end(session, failure)
            uploads = self._last_uploads(run, with_model=bool(self.log_model) and not failed and not interrupted)
        finally:  # a run that was opened is finished, whatever fails before
            # Where a scheduler is about to end the process, the table and the state come after this.
            session.finish_timeout = min(session.finish_timeout, max(run.seconds_left / 2, 1.0))
            session.close(uploads, failed=failed)
            self.run_id, self._folders = session.run_id, session.folders
            self._session = None
            self._validation_images.forget()
            self._outcome = session.outcome()

    def _last_uploads(self, run: TrainingRun, *, with_model: bool) -> dict[str, Upload]:
        uploads = last_uploads(run, self._history.last, pictures=self.images > 0, model=with_model)
        publication = self._publication
        if publication is not None:
            uploads["dashboard"] = Upload(lambda _: publication.wait())
        return uploads

    def outcome(self) -> str:
        """Return where the run is, what did not arrive, and how to upload it."""
        return self._outcome

    # State ------------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs to continue the run."""
        if self._session is not None:
            self.run_id, self._folders = self._session.run_id, self._session.folders
        folders = [stored_path(Path(folder), self._run_folder) for folder in self._folders]
        return {"run_id": self.run_id, "folders": folders, "logged_epoch": self._history.logged_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        found = read_fields(
            state,
            {
                "run_id": Field(optional(text)),
                "folders": Field(listing(text), []),
                "logged_epoch": Field(whole()),
                "folder": Field(text, None),  # the run's, from `Suite.load_results`
            },
        )
        self.run_id, self._folders = found["run_id"], found["folders"]
        self._history.logged_epoch = found["logged_epoch"]
        if found["folder"] is not None:
            self._find_folders(Path(found["folder"]))

    def resume(self, run: TrainingRun) -> None:
        """Find the folders of the run, which may have been moved."""
        logged = self._history.logged_epoch
        if logged > run.completed_epochs:
            raise StateError(f"its last epoch is {logged}, but the run has completed {run.completed_epochs}")
        self._find_folders(*filter(None, (run.moved_from, run.save_dir)))

    def _find_folders(self, *places: Path) -> None:
        self._folders = [str(path) for stored in self._folders if (path := found_path(stored, *places))]


def _failures(run: TrainingRun, record: EpochRecord) -> Mapping[str, Any] | None:
    """Return the line of `FailingImages` about the validation of a record; None where that was not compared."""
    line = run.failures or {}
    of_record = line.get("final") if record.final else line.get("epoch") == record.epoch
    return line if of_record else None
