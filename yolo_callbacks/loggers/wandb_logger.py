"""Everything worth seeing in Weights & Biases, never at the training's cost."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.loggers.wandb_parts.ending import Upload
from yolo_callbacks.loggers.wandb_parts.media import ValidationImages, last_uploads
from yolo_callbacks.loggers.wandb_parts.options import clean_name, init_arguments
from yolo_callbacks.loggers.wandb_parts.session import WandbSession
from yolo_callbacks.loggers.wandb_parts.workspace import Publication, check_installed
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.scalars import epoch_scalars, final_scalars
from yolo_callbacks.trainer.run_description import describe, drop_built_in_wandb, labelled_losses, training_losses
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import (
    UnknownArgumentError,
    nearest,
    validate_bool,
    validate_float,
    validate_int,
    validate_optional_str,
)
from yolo_callbacks.utils.fields import Field, StateError, listing, optional, read_fields, text, whole
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.memory import is_out_of_memory
from yolo_callbacks.utils.redaction import clean_arguments, origins_of
from yolo_callbacks.utils.stored_paths import found_path, stored_path

__all__ = ["WandbLogger"]

_MODES = ("online", "offline", "disabled", "shared")


class WandbLogger(Callback):
    """Log a training to Weights & Biases: losses, metrics, rates, classes, images with boxes, the best checkpoint.

    A run that a user or a sweep has open is used and left open; otherwise one is opened under the project's and the
    run's own names, and finished, with exit code 1 where the training failed. A resumed training continues its run.

    A thread opens the run and sends the rows, beside the training. Without an API key, a network, or a server that
    answers within `init_timeout`, the run goes on offline. The table at the end names what did not arrive and the
    commands that upload it.

    Ultralytics' own integration is taken out of a training that has this one.

    Args:
        project: W&B project. Defaults to `None`: `WANDB_PROJECT`, else the last part of the training's `project=`.
        name: Name of the run. Defaults to `None`: `WANDB_NAME`, else that of the run's folder.
        entity: User or team. Defaults to `None`, W&B's own default.
        mode: `"online"`, `"offline"`, `"disabled"` or `"shared"`. Defaults to `None`, what `WANDB_MODE` says.
        images: Number of validation images to log with boxes, always the same ones; 0 for none, and no plot that
            shows a picture. Defaults to `16`.
        image_period: Epochs from one logging of images to the next; the last epoch logs them too, and the final
            evaluation, under `final/images`. Defaults to `5`.
        batch_period: Batches from one logging of batch losses to the next; 0 for none. Defaults to `20`.
        log_model: `"best"` to log best.pt as an artifact at the end, `False` for none. Defaults to `"best"`.
        alerts: Whether to send alerts for a stop, a NaN, an out-of-memory error and the end. Defaults to `False`.
        dashboard: Whether to publish a workspace for the project, if it has none of ours yet, beside the training.
            Needs the extra `dashboard`. Defaults to `False`.
        init_timeout: Seconds that the start may take. Defaults to `10`.
        finish_timeout: Seconds that the end may take, uploads included. Defaults to `30`.
        background: Whether the run is opened beside the training. `False` opens it before `on_train_start` returns, for
            code that uses `wandb` itself. Defaults to `True`.
        **init: Further arguments of `wandb.init`, as they are, such as `tags` or `group`.

    Attributes:
        run: The `wandb.Run`, None outside a training. Waits until it is open, at most `init_timeout`.
        run_id: Its id, None before the first run.

    Raises:
        TypeError: If an argument is of the wrong kind, or neither the logger nor `wandb.init` has it.
        ValueError: If a number is out of its range, or `mode` or `log_model` none of those above.
        ImportError: Before the first epoch, if `dashboard` is asked for and wandb-workspaces is not installed.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import WandbLogger, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, WandbLogger("crowns", images=0))

    Logs Ultralytics' own keys, `per_class/<class>/<metric>` for at most 100 classes (a table `per_class` at the end
    beyond that) and what other callbacks publish, one row an epoch, with `epoch`, counted from 1, as their axis;
    `batch/<loss>` over `batch/step`; `validation/images`; at the end `final/…`, `curves/…`, `confusion_matrix` and
    `plots/…`. Writes `wandb/` in the run's folder, unless `WANDB_DIR` says otherwise.
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
        init_timeout: float = 10,
        finish_timeout: float = 30,
        background: bool = True,
        **init: Any,
    ) -> None:
        if init:
            self._check_names(init)
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
        self.init_timeout = validate_float("init_timeout", init_timeout, minimum=1)
        self.finish_timeout = validate_float("finish_timeout", finish_timeout, minimum=1)
        self.background = validate_bool("background", background)
        self.init = init
        self._session: WandbSession | None = None
        self.reset()

    def _check_names(self, given: Iterable[str]) -> None:
        """Refuse arguments that neither the logger nor `wandb.init` has."""
        taken = init_arguments()
        if taken is None:
            return
        known = [*(name for name in inspect.signature(WandbLogger).parameters if name != "init"), *taken]
        for name in given:
            if name not in known:
                meant = nearest(name, known)
                hint = f", did you mean {meant!r}?" if meant else ", and wandb.init has none"
                raise UnknownArgumentError(f"{type(self).__name__} has no argument {name!r}{hint}", name)

    def __getstate__(self) -> dict[str, Any]:
        # A run belongs to its process; a worker of a multi-GPU training opens its own.
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
        self._logged_epoch = 0
        self._outcome = "nothing logged"
        self._prefixes: set[str] = set()
        self._pictures = ValidationImages(self.images)
        self._batch = 0
        self._batch_losses: list[tuple[int, Any]] = []
        self._last: EpochRecord | None = None
        self._trained_epoch = 0
        self._batch_size = 0

    def output_files(self, task: str) -> set[str]:
        """Return the W&B run that it logs to, as far as it is known before a training."""
        target = {"entity": self.entity, "project": self.project, "name": self.name, "id": self.init.get("id")}
        named = ", ".join(f"{key} {value!r}" for key, value in target.items() if value is not None)
        return {f"the W&B run of {named}" if named else "the W&B run"}

    def validate(self, run: TrainingRun) -> bool:
        """Whether what the dashboard needs is installed."""
        self._run_folder = run.save_dir
        if self.dashboard:
            check_installed()
        return True

    # Events -----------------------------------------------------------------------------------------------------------

    def on_pretrain_routine_start(self, trainer: Any) -> None:
        """See to it that one of the two integrations logs."""
        if drop_built_in_wandb(TrainingRun.of(trainer)):
            LOGGER.info("WandbLogger: Ultralytics' own W&B integration is off in this training, this one logs")

    def on_train_start(self, trainer: Any) -> None:
        """Open the run."""
        run = TrainingRun.of(trainer)
        if not run.is_main:
            return
        session = self._session = WandbSession(
            self._options(run),
            init_timeout=self.init_timeout,
            finish_timeout=self.finish_timeout,
            spare=run.save_dir,
            folders=self._folders,
            describe=origins_of(self).described,
        )
        past = self._past_rows(session, run) if self.run_id and session.owned else []
        # what the user or a sweep has set stays
        config = clean_arguments(describe(run))
        session.call("config", lambda opened: opened.config.setdefaults(config))
        if self.dashboard:
            names = list(run.names.values())
            session.call("dashboard", partial(self._publish, run.task, names))
        session.start(past=past, background=self.background)
        session.print_news()

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Start counting batches; those of a pass that is repeated were none."""
        if self._session is not None:
            self._session.print_news()
        self._alert_on_repeat(trainer.epoch + 1, trainer.batch_size)
        self._batch = 0
        self._batch_losses.clear()

    def on_train_batch_end(self, trainer: Any) -> None:
        """Keep the losses where they are: reading them would make the accelerator wait."""
        if self.batch_period and self._batch % self.batch_period == 0:
            self._batch_losses.append((self._batch, training_losses(trainer)))
        self._batch += 1

    def on_train_epoch_end(self, trainer: Any) -> None:
        """Decide whether this epoch's validation is looked at."""
        epoch = self._trained_epoch = trainer.epoch + 1
        self._pictures.capture.active = epoch % self.image_period == 0 or epoch >= trainer.epochs

    def on_val_start(self, validator: Any) -> None:
        """Look at the predictions of this validation."""
        self._pictures.listen(validator)

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Log the epoch, once."""
        if self._session is None:
            return
        images = self._pictures.take(record.names, "validation/images")
        if record.epoch > self._logged_epoch:
            self._logged_epoch, self._last = record.epoch, record
            self._log_batches(self._session, run)
            self._log_epoch(self._session, record, images)
            self._alert_on(record, stopping=run.stopping and record.epoch < record.epochs)
            self._pictures.capture.active = run.stopping  # the final evaluation is what comes next

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """Log the final evaluation."""
        if self._session is not None:
            self._log_final(self._session, record, self._pictures.take(record.names, "final/images"))

    def on_train_end(self, trainer: Any) -> None:
        """Upload what is large, and finish the run."""
        self._close(TrainingRun.of(trainer), failure=None)

    def teardown(self, trainer: Any) -> None:
        """Finish the run of a training that failed."""
        run = TrainingRun.of(trainer)
        self._close(run, failure=run.failure)

    # State ------------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """What continues the run."""
        if self._session is not None:
            self.run_id, self._folders = self._session.run_id, self._session.folders
        folders = [stored_path(Path(folder), self._run_folder) for folder in self._folders]
        return {"run_id": self.run_id, "folders": folders, "logged_epoch": self._logged_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what continues the run."""
        found = read_fields(
            state,
            {
                "run_id": Field(optional(text)),
                "folders": Field(listing(text), []),
                "logged_epoch": Field(whole()),
                "folder": Field(text, None),  # the run's, from `Suite.load_results`
            },
        )
        self.run_id, self._folders, self._logged_epoch = found["run_id"], found["folders"], found["logged_epoch"]
        if found["folder"] is not None:
            self._find_folders(Path(found["folder"]))

    def resume(self, run: TrainingRun) -> None:
        """Find the folders of the run where they are now."""
        if self._logged_epoch > run.completed_epochs:
            raise StateError(f"it is of epoch {self._logged_epoch}, the run has {run.completed_epochs} behind it")
        self._find_folders(*filter(None, (run.moved_from, run.save_dir)))

    def _find_folders(self, *places: Path) -> None:
        self._folders = [str(path) for stored in self._folders if (path := found_path(stored, *places))]

    def outcome(self) -> str:
        """Where the run is, and how to upload it."""
        return self._outcome

    # Parts ------------------------------------------------------------------------------------------------------------

    def _options(self, run: TrainingRun) -> dict[str, Any]:
        arguments = run.trainer.args
        folder_name = Path(str(arguments.project or "Ultralytics")).name
        folder = {} if "WANDB_DIR" in os.environ else {"dir": str(run.save_dir)}
        resumed = {"id": self.run_id, "resume": "allow"} if self.run_id else {}
        return {
            "project": clean_name(self.project or os.environ.get("WANDB_PROJECT") or folder_name, "Ultralytics"),
            "name": clean_name(self.name or os.environ.get("WANDB_NAME") or str(arguments.name), "train"),
            "entity": self.entity,
            "mode": self.mode,
            **folder,
            **resumed,
            **self.init,
        }

    def _publish(self, task: str, names: list[str], run: Any) -> None:
        """Start to publish the workspace; it needs a server, and nobody waits for it before the end."""
        if run.offline:
            LOGGER.info("WandbLogger: no dashboard from a run that is offline; later: yolo-callbacks dashboard")
        else:
            self._publication = Publication(run.entity, run.project, task, names)

    def _log_epoch(self, session: WandbSession, record: EpochRecord, images: Callable[[], Any] | None) -> None:
        session.log(self._epoch_row(session, record), images)

    def _epoch_row(self, session: WandbSession, record: EpochRecord) -> dict[str, Any]:
        """Return the row of an epoch, whose keys are defined."""
        row: dict[str, Any] = epoch_scalars(record)
        shown = ["validation"] if self.images else []
        for prefix in {*shown, *(key.partition("/")[0] for key in row)} - self._prefixes:
            self._define(session, prefix)
        return {**row, "epoch": record.epoch}

    def _past_rows(self, session: WandbSession, run: TrainingRun) -> list[dict[str, Any]]:
        """Return the rows that a resumed run has behind it.

        What was handed to wandb a moment before a kill may or may not have reached its file.
        """
        rows = [self._epoch_row(session, record) for record in run.past]
        self._logged_epoch = max((record.epoch for record in run.past), default=self._logged_epoch)
        return rows

    def _define(self, session: WandbSession, prefix: str) -> None:
        """Give the keys of a prefix their axis, and the summary that tells how good the run is."""
        self._prefixes.add(prefix)
        best = {"metrics": "max", "per_class": "max", "fitness": "max", "train": "min", "val": "min"}.get(prefix)
        name = prefix if prefix == "fitness" else f"{prefix}/*"
        session.define(name, "epoch", f"{best},last" if best else None)

    def _log_batches(self, session: WandbSession, run: TrainingRun) -> None:
        if not self._batch_losses:
            return
        if "batch" not in self._prefixes:
            self._prefixes.add("batch")
            session.define("batch/*", "batch/step")
        before = int(run.trainer.epoch) * self._batch
        for position, losses in self._batch_losses:
            session.log({"batch/step": before + position + 1, **labelled_losses(run, losses)})
        self._batch_losses.clear()

    def _log_final(self, session: WandbSession, record: EpochRecord, images: Callable[[], Any] | None) -> None:
        final: dict[str, Any] = final_scalars(record)
        session.call("the final evaluation", lambda run: run.summary.update(final))
        session.log(final, images)

    def _alert_on_repeat(self, epoch: int, batch_size: int) -> None:
        """Ultralytics repeats an epoch after a NaN, from last.pt, and the first one after an out-of-memory error."""
        if epoch == self._trained_epoch:
            self._alert("NaN", f"epoch {epoch} is trained again, from the checkpoint before it", level="WARN")
        elif batch_size < self._batch_size:
            self._alert(
                "Out of memory", f"batch size {self._batch_size} to {batch_size}, epoch {epoch} starts again", "WARN"
            )
        self._batch_size = batch_size

    def _alert_on(self, record: EpochRecord, *, stopping: bool) -> None:
        lost = [key for key, value in record.metrics.items() if value != value]  # NaN is not itself
        if lost:
            self._alert("NaN", f"epoch {record.epoch}: {', '.join(lost)}", level="WARN")
        if stopping:
            self._alert("Training stops", f"with epoch {record.epoch} of {record.epochs}")

    def _alert(self, title: str, text: str, level: str = "INFO") -> None:
        if self.alerts and self._session is not None:
            self._session.call("an alert", lambda run: run.alert(title=title, text=text, level=level))

    def _close(self, run: TrainingRun, *, failure: BaseException | None) -> None:
        session = self._session
        if session is None or not run.is_main:
            return
        if session.inherited:
            self._session = None
            return
        uploads: dict[str, Upload] = {}
        try:
            self._alert_on_end(failure)
            with_model = bool(self.log_model) and failure is None
            uploads = last_uploads(run, self._last, pictures=self.images > 0, model=with_model)
            if self.dashboard:
                uploads["dashboard"] = Upload(self._wait_for_dashboard)
        finally:  # whatever fails before it, a run that was opened is finished
            session.close(uploads, failed=failure is not None)
            self.run_id, self._folders = session.run_id, session.folders
            self._session = None
            self._pictures.forget()
            self._outcome = session.outcome()

    def _wait_for_dashboard(self, _: Any) -> None:
        if self._publication is not None:
            self._publication.wait()

    def _alert_on_end(self, failure: BaseException | None) -> None:
        what = f"failed: {type(failure).__name__} {failure}" if failure else "finished"
        title = "Out of memory" if is_out_of_memory(failure) else "Training ended"
        self._alert(title, what, level="ERROR" if failure else "INFO")
