"""Log a training to MLflow; the training never waits for it and never fails because of it."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.loggers.logger_parts.image_collection import ImageCollection
from yolo_callbacks.loggers.mlflow_parts.address import validate_tracking_uri
from yolo_callbacks.loggers.mlflow_parts.names import MetricNames
from yolo_callbacks.loggers.mlflow_parts.opened_run import EPOCH, OpenedRun
from yolo_callbacks.loggers.mlflow_parts.outbox import Task
from yolo_callbacks.loggers.mlflow_parts.pictures import log_pictures
from yolo_callbacks.loggers.mlflow_parts.session import IMAGES, MlflowSession, Upload
from yolo_callbacks.loggers.mlflow_parts.target import Target, parameters, tags_of
from yolo_callbacks.loggers.mlflow_parts.uploads import last_uploads, late_uploads
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.scalars import epoch_scalars, final_scalars
from yolo_callbacks.trainer.integrations import MLFLOW, drop_integration
from yolo_callbacks.trainer.run_description import describe
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_int, validate_optional_str
from yolo_callbacks.utils.durations import validate_duration
from yolo_callbacks.utils.fields import Field, StateError, optional, read_fields, text, whole
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.locations import check_scheme, expanded_path
from yolo_callbacks.utils.origins import origins_of
from yolo_callbacks.utils.redaction import clean_arguments, clean_url

__all__ = ["MLflowLogger"]


class MLflowLogger(Callback):
    """Log a training to MLflow: losses, metrics, rates, classes, validation images, the best checkpoint.

    If a run of MLflow is active in the thread that trains, or `MLFLOW_RUN_ID` names one, it is used and left open.
    Otherwise the logger opens one under the names of the training's project and folder, and ends it: as `FINISHED`, as
    `FAILED` if the training failed, as `KILLED` after a signal or Ctrl-C. A resumed training continues its run.

    A thread imports MLflow, opens the run and sends the rows, beside the training. If the server cannot be reached,
    rows are kept and sent when it answers. At the end the training waits `finish_timeout` seconds at most. The table at
    the end names everything that did not arrive. Needs `pip install mlflow-skinny` for a server; a local store needs
    `mlflow`.

    Args:
        experiment: The name of the experiment. Defaults to `None`: `MLFLOW_EXPERIMENT_NAME`, what
            `mlflow.set_experiment` has chosen, else the last part of the training's `project`.
        name: The name of the run. Defaults to `None`: `MLFLOW_RUN_NAME`, else the name of the run's folder.
        tracking_uri: The address of the server or the store, such as `"http://localhost:5000"` or
            `"sqlite:///~/mlflow.db"`. Defaults to `None`: what MLflow itself uses.
        log_model: `"best"` to log best.pt at the end, `False` for none. Defaults to `"best"`.
        registered_name: The name of a model in the registry that gets best.pt as a new version. The version has the
            alias `best` if its score is better than that of the version that had it. best.pt is the best by fitness;
            `SaveBest(promote=True)` makes it the best by your metric. Defaults to `None`, which registers none.
        nested: Whether the run is a child of the active one. Defaults to `None`: in a trial of Optuna or Ray Tune, in
            an iteration of `model.tune()`, and if the active run has the epochs of another training already.
        images: How many validation images to log with ground truth and predictions; 0 for none. Defaults to `16`.
        image_period: Epochs from one logging of images to the next. Defaults to `5`.
        init_timeout: Seconds that one request may take, or a duration such as `"2m"`. Defaults to `10`.
        finish_timeout: Seconds that the end may take, uploads included, or a duration. Defaults to `30`.

    Attributes:
        run_id: The id of the run, None before the first one. In a training it waits until the run is open, at most
            `init_timeout`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of its range, a text is empty, `tracking_uri` has one slash after its scheme, or
            a scheme that neither MLflow nor a plug-in knows, `log_model` has none of the values above, or
            `registered_name` is given with `log_model=False`.
        ModuleNotFoundError: Before the first epoch, if MLflow is not installed.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import MLflowLogger, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, MLflowLogger("crowns", tracking_uri="sqlite:///mlflow.db", images=0))

    Logs by epoch, counted from 1: `epoch`, Ultralytics' own keys, `per_class/<class>/<metric>` for at most 100 classes
    (beyond that `per_class.json` at the end), and what other callbacks log; the evaluation after training under
    `final/`, at the last epoch. MLflow accepts no parentheses: `metrics/mAP50(B)` is `metrics/mAP50B` there. Logs
    `validation/images/…`, `final/images/…`, the arguments as parameters, `config.json`, and at the end `model/best.pt`,
    the `.json` files of `SaveBest`, `results.csv`, `failures.jsonl`, `plots/…`, `callbacks.json` and, unless
    `images=0`, the report. Writes no file, except what MLflow writes to a local store.
    """

    is_logger: ClassVar[bool] = True

    def __init__(
        self,
        experiment: str | None = None,
        name: str | None = None,
        *,
        tracking_uri: str | None = None,
        log_model: Literal["best", False] = "best",
        registered_name: str | None = None,
        nested: bool | None = None,
        images: int = 16,
        image_period: int = 5,
        init_timeout: float | str = 10,
        finish_timeout: float | str = 30,
    ) -> None:
        self.experiment = validate_optional_str("experiment", experiment)
        self.name = validate_optional_str("name", name)
        self.tracking_uri = _located(validate_optional_str("tracking_uri", tracking_uri))
        if self.tracking_uri is not None:
            validate_tracking_uri(self.tracking_uri)
        if log_model != "best" and log_model is not False:
            raise ValueError(f"log_model must be 'best' or False, received {log_model!r}")
        self.log_model = log_model
        self.registered_name = validate_optional_str("registered_name", registered_name)
        if registered_name is not None and log_model is False:
            raise ValueError("registered_name needs log_model='best': a version in the registry is the logged best.pt")
        self.nested = nested if nested is None else validate_bool("nested", nested)
        self.images = validate_int("images", images, minimum=0)
        self.image_period = validate_int("image_period", image_period, minimum=1)
        self.init_timeout = validate_duration("init_timeout", init_timeout, minimum=1)
        self.finish_timeout = validate_duration("finish_timeout", finish_timeout, minimum=1)
        self._session: MlflowSession | None = None
        self.reset()

    def __getstate__(self) -> dict[str, Any]:
        # A thread belongs to its process; a worker of a multi-GPU training has its own.
        return {**self.__dict__, "_session": None, "_closed": None}

    def _argument(self, name: str) -> Any:
        value = getattr(self, name)
        return clean_url(value) if name == "tracking_uri" and value else value

    @property
    def run_id(self) -> str | None:
        """The id of the run, None before the first one; in a training it waits `init_timeout` at most."""
        return self._session.wait_for_run() if self._session is not None else self._opened_id

    def reset(self) -> None:
        """Forget the last run; one that is still open belongs to a training that failed."""
        if self._session is not None:
            self._session.close((), "FAILED")
        self._session = None
        self._closed: MlflowSession | None = None
        self._opened_id: str | None = None
        self._key = ""
        self._logged_epoch = 0
        self._last: EpochRecord | None = None
        self._outcome = "nothing logged"
        self._names = MetricNames()
        self._pictures = ImageCollection(self.images, self.image_period)

    def output_files(self, task: str) -> set[str]:
        """Return the run that it logs to, as far as it is known before a training."""
        uri = clean_url(self.tracking_uri) if self.tracking_uri else None
        target = {"tracking_uri": uri, "experiment": self.experiment, "name": self.name}
        named = ", ".join(f"{key} {value!r}" for key, value in target.items() if value is not None)
        return {f"the MLflow run of {named}" if named else "the MLflow run"}

    def validate(self, run: TrainingRun) -> bool:
        """Check that MLflow is installed, without its import, which takes seconds."""
        if lacking := self._unmet_needs():
            raise ModuleNotFoundError(lacking)
        return True

    def _unmet_needs(self) -> str:
        if find_spec("mlflow") is not None:
            return ""
        return "MLflow is not installed: pip install mlflow-skinny (mlflow for a local store)"

    # Start ------------------------------------------------------------------------------------------------------------

    def on_pretrain_routine_start(self, trainer: Any) -> None:
        """Switch Ultralytics' own integration off, so that one of the two logs."""
        if drop_integration(TrainingRun.of(trainer), MLFLOW):
            LOGGER.info("MLflowLogger: Ultralytics' own MLflow integration is off in this training, this one logs")

    def on_train_start(self, trainer: Any) -> None:
        """Start to open the run."""
        run = TrainingRun.of(trainer)
        if not run.is_main:
            return
        self._key = self._key or uuid.uuid4().hex
        description = clean_arguments(describe(run))
        tags = tags_of(run, description, self._key)
        target = Target.of(
            run, given_uri=self.tracking_uri, experiment=self.experiment, name=self.name, nested=self.nested,
            key=self._key, run_id=self._opened_id, tags=tags,
        )  # fmt: skip
        session = self._session = MlflowSession(
            target,
            init_timeout=self.init_timeout,
            finish_timeout=self.finish_timeout,
            describe=origins_of(self).described,
        )
        named = {self._names.of(name): value for name, value in parameters(description).items()}
        session.submit(Task("parameters", partial(_describe, named, tags)))
        session.submit(Task("config.json", partial(_log_config, description)))
        for record in run.past:  # a kill may have lost some of them
            self._log_epoch(session, record)
        session.start()

    # Epochs -----------------------------------------------------------------------------------------------------------

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Print what the thread has found out."""
        if self._session is not None:
            self._session.print_news()

    def on_train_epoch_end(self, trainer: Any) -> None:
        """Decide whether images are collected from the validation of this epoch."""
        run = TrainingRun.of(trainer)
        self._pictures.choose_epoch(run.epoch, run.planned_epochs)

    def on_val_start(self, validator: Any) -> None:
        """Collect images from this validation."""
        self._pictures.listen(validator)

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Log the epoch, unless it was logged before."""
        session = self._session
        if session is None:
            return
        taken = self._pictures.take()
        if record.epoch > self._logged_epoch:
            self._last = record
            self._log_epoch(session, record)
            if taken:
                session.submit(_images(taken, record, "validation/images"))
            self._pictures.choose_final(stopping=run.stopping)

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """Log the final evaluation at the last epoch."""
        session = self._session
        if session is None:
            return
        row = {self._names.of(key): value for key, value in final_scalars(record).items()}
        session.submit(Task("the final evaluation", partial(_log_final, row, record.epoch, _now())))
        if taken := self._pictures.take():
            session.submit(_images(taken, record, "final/images"))

    def _log_epoch(self, session: MlflowSession, record: EpochRecord) -> None:
        self._logged_epoch = max(self._logged_epoch, record.epoch)
        row = {self._names.of(key): value for key, value in {**epoch_scalars(record), EPOCH: record.epoch}.items()}
        send = partial(_log_row, row, record.epoch, _now())
        session.submit(Task(f"epoch {record.epoch}", send, epoch=record.epoch))

    # End --------------------------------------------------------------------------------------------------------------

    def on_train_end(self, trainer: Any) -> None:
        """Upload, and end the run; as `KILLED` where it is to be resumed."""
        run = TrainingRun.of(trainer)
        preempted = run.left is not None and run.left.resumable
        self._close(run, "KILLED" if preempted else "FINISHED", model=not preempted)

    def teardown(self, trainer: Any) -> None:
        """End the run of a training that failed, was pruned or was stopped: best.pt is not stripped there."""
        run = TrainingRun.of(trainer)
        self._close(run, _status(run.failure), model=False)

    def on_run_end(self, run: TrainingRun, summary: Mapping[str, Any]) -> None:
        """Upload what the suite has written at the very end."""
        closed, self._closed = self._closed, None
        if closed is not None:
            closed.finish_timeout = min(closed.finish_timeout, max(run.seconds_left / 4, 1.0))
            closed.send_late(late_uploads(run, pictures=self.images > 0))

    def finalize(self, run: TrainingRun) -> None:
        """Drop what belongs to the run."""
        self._pictures.forget()

    def _close(self, run: TrainingRun, status: str, *, model: bool) -> None:
        session, self._session = self._session, None
        if session is None or session.inherited or not run.is_main:
            return
        uploads: list[Upload] = []
        try:
            uploads = last_uploads(
                run,
                self._last,
                pictures=self.images > 0,
                model=model and bool(self.log_model),
                registered_name=self.registered_name,
            )
        finally:  # a run that was opened is ended, whatever fails before
            if run.seconds_left < math.inf:  # a scheduler is about to end the process: table and state come after this
                session.finish_timeout = min(session.finish_timeout, max(run.seconds_left / 2, 1.0))
            session.close(uploads, status)
            self._closed, self._opened_id = session, session.run_id
            self._outcome = session.outcome()

    def outcome(self) -> str:
        """Return where the run is, and what did not arrive."""
        return self._outcome

    # State ------------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs to continue the run."""
        if self._session is not None:
            self._opened_id = self._session.run_id
        return {"run": self._key, "run_id": self._opened_id, "logged_epoch": self._logged_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        found = read_fields(
            state,
            {"run": Field(optional(text), ""), "run_id": Field(optional(text)), "logged_epoch": Field(whole(), 0)},
        )
        self._key, self._opened_id, self._logged_epoch = found["run"] or "", found["run_id"], found["logged_epoch"]

    def resume(self, run: TrainingRun) -> None:
        """Check that the state belongs to the run."""
        if self._logged_epoch > run.completed_epochs:
            raise StateError(f"its last epoch is {self._logged_epoch}, but the run has {run.completed_epochs} epochs")


def _now() -> int:
    return int(time.time() * 1000)


def _located(uri: str | None) -> str | None:
    """Return an address with the home folder in place of `~`: MLflow 3.17 makes a folder of that name.

    Raises:
        ValueError: If it has one slash after its scheme.
    """
    if uri is None:
        return None
    if not uri.startswith(("file:/", "dbfs:/")):  # MLflow takes these with one slash
        check_scheme("tracking_uri", uri, frozenset({"http", "https", "sqlite"}))
    start, sign, path = uri.partition(":///")
    if not sign:
        return expanded_path("tracking_uri", uri)
    found = expanded_path("tracking_uri", path)
    return start + sign + (found.lstrip("/") if start == "file" else found)


def _status(failure: BaseException | None) -> str:
    """Return the status of a run whose training did not reach its end; one that was pruned has done its work."""
    if failure is None:
        return "FINISHED"
    return "KILLED" if isinstance(failure, (KeyboardInterrupt, SystemExit)) else "FAILED"


def _images(taken: Any, record: EpochRecord, folder: str) -> Task:
    def send(run: OpenedRun) -> None:
        log_pictures(run, taken, record.names, folder=folder, step=record.epoch)

    return Task(IMAGES, send, lasts=False)


def _describe(named: Mapping[str, str], tags: Mapping[str, str], run: OpenedRun) -> None:
    run.describe(named, tags)


def _log_config(description: Mapping[str, Any], run: OpenedRun) -> None:
    run.client.log_dict(run.run_id, dict(description), "config.json")


def _log_row(row: Mapping[str, float], epoch: int, timestamp: int, run: OpenedRun) -> None:
    if epoch not in run.arrived:
        run.log_row(row, epoch, timestamp)


def _log_final(row: Mapping[str, float], epoch: int, timestamp: int, run: OpenedRun) -> None:
    if row and not run.has_final(next(iter(row)), epoch):
        run.log_row(row, epoch, timestamp)
