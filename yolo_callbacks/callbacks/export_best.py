"""Export the best checkpoint, and prove that the export predicts the same."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.export_parts.finding import FAILED, PROVEN, Finding
from yolo_callbacks.callbacks.export_parts.job import COMMAND, ExportJob
from yolo_callbacks.callbacks.export_parts.preparation import Preparation
from yolo_callbacks.callbacks.export_parts.publication import Publication
from yolo_callbacks.callbacks.export_parts.source import ExportSource, reason_for_no_export, trial_of
from yolo_callbacks.callbacks.export_parts.tolerance import complete_tolerance, validate_tolerance
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.export_formats import (
    missing_packages,
    precision_of,
    suffix_of,
    validate_export_arguments,
    validate_format,
)
from yolo_callbacks.trainer.export_request import validation_set
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_choice, validate_int, validate_optional_str
from yolo_callbacks.utils.durations import validate_duration
from yolo_callbacks.utils.fields import Field, listing, read_fields, text, whole
from yolo_callbacks.utils.files import LOGGER

__all__ = ["ExportBest"]

_OWN = ("format", "when", "of", "tolerance", "images", "timeout", "trials")
_THREADS, _THREADS_AT_END = 1, 4
_RESERVE = 30.0  # the seconds that a scheduler's deadline leaves for the end of the run


class ExportBest(Callback):
    """Export the best checkpoint to ONNX or another format, and prove that the export predicts the same.

    The export runs in a process of its own, on the CPU and with low priority, beside the training. There the export and
    its checkpoint predict the same validation images: their outputs, their predictions and their mAP are compared.
    Only an export that predicts the same gets the name of its checkpoint. Another one is kept with `-refused` in its
    name, and the table at the end says which figure exceeds its tolerance.

    At the start of the training, an untrained copy of the model is exported in the same way: a model that cannot be
    exported, or a missing package, is known after seconds rather than after the last epoch. Nothing is installed:
    Ultralytics' own installer is off in that process.

    Nothing of it ends a training. In a trial of a search nothing is exported, unless `trials=True`.

    Args:
        format: The format, by the name that Ultralytics gives it: `"onnx"`, `"torchscript"`, `"openvino"`, `"engine"`.
            Defaults to `"onnx"`.
        when: `"end"` exports once, at the end of the training, which waits for it. `"best"` also exports each new best
            beside the training. Defaults to `"end"`.
        of: Which `SaveBest` of the suite, by its monitor or its `filename`; `"best.pt"` for Ultralytics' own. Defaults
            to `None`, the first `SaveBest`, or Ultralytics' best.pt where there is none.
        tolerance: By how much the export may differ. A number is the highest loss of mAP; a mapping sets some of
            `outputs`, `boxes`, `scores` and `mAP`. Defaults to `None`, which depends on the precision of the export.
        images: On how many validation images both are compared; `None` for all. Defaults to `32`.
        timeout: How long an export may take, in seconds or as `"10m"`; the end of a training waits no longer. Defaults
            to `600.0`.
        trials: Whether to export in a trial of a search too. Defaults to `False`.
        **arguments: Further arguments of Ultralytics' export, such as `imgsz`, `half`, `dynamic`, `simplify`, `nms`,
            `int8`, `opset` or `batch`.

    Attributes:
        exported_epoch: The epoch of the checkpoint that was exported last, counted from 1; 0 where there is none.
        exported_path: The file or folder of that export under its name, None where there is none.
        reason: What was measured, or why the export is not proven; `""` before the first.
        verdict: `"proven"`, `"refused"`, `"unproven"` or `"failed"` of the last export; `""` before the first.

    Raises:
        TypeError: If an argument is of the wrong kind, or neither the callback nor the export has it.
        ValueError: If a value is wrong, or the installed Ultralytics does not export to the format, or not with that
            argument; before the first epoch, if the suite has no `SaveBest` of the name in `of`.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import ExportBest, SaveBest, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, SaveBest("mAP50"), ExportBest("onnx", dynamic=True, tolerance=0.002))

    Logs nothing. Writes `weights/<checkpoint>.onnx`, or with the ending of the format, and adds `exports` to the JSON
    file beside the checkpoint: the verdict, all figures, the arguments and the versions. Beside Ultralytics' best.pt
    it writes `best.json`. While it exports, that folder holds a temporary folder.
    """

    _command: Sequence[str] = COMMAND

    needs_start: ClassVar[bool] = False  # attached late, it misses the export of the untrained copy only

    def __init__(
        self,
        format: str = "onnx",  # noqa: A002 (as Ultralytics calls it)
        *,
        when: str = "end",
        of: str | None = None,
        tolerance: float | Mapping[str, float] | None = None,
        images: int | None = 32,
        timeout: float | str = 600.0,
        trials: bool = False,
        **arguments: Any,
    ) -> None:
        self.format = validate_format(format)
        self.when = validate_choice("when", when, ("end", "best"))
        self.of = validate_optional_str("of", of)
        self.tolerance = validate_tolerance(tolerance)
        self.images = None if images is None else validate_int("images", images, minimum=1)
        self.timeout = timeout
        self._timeout = validate_duration("timeout", timeout)
        self.trials = validate_bool("trials", trials)
        self.arguments = validate_export_arguments(type(self).__name__, _OWN, self.format, arguments)
        self._job: ExportJob | None = None
        self.reset()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a worker gets: a process belongs to the one that started it."""
        return {**self.__dict__, "_job": None}

    def _unmet_needs(self) -> str:
        missing = missing_packages(self.format)
        return f"an export to {self.format} needs packages: pip install {' '.join(missing)}" if missing else ""

    def reset(self) -> None:
        """Forget the last run."""
        self._drop_job()
        self._preparation: Preparation | None = None
        self._off = ""
        self._reached_end = self._validated = False
        self._publication = Publication(self.format)
        self._finding: Finding | None = None
        self.exported_epoch = 0
        self.exported_path: Path | None = None

    @property
    def verdict(self) -> str:
        """The verdict on the last export, `""` before the first."""
        return self._finding.verdict if self._finding else ""

    @property
    def reason(self) -> str:
        """What was measured, or why the export is not proven; `""` before the first."""
        return self._finding.reason if self._finding else ""

    # Before the first epoch -------------------------------------------------------------------------------------------

    def validate(self, run: TrainingRun) -> bool:
        """Find the checkpoint and the validation images of this run."""
        if not run.is_main or self._validated:
            return True
        preparation = Preparation(self.format, self.arguments, ExportSource.of(run, self.of))
        self._preparation = preparation
        self._validated = True
        if not self.trials and (search := trial_of(run)):
            self._off = f"nothing: this is a trial of {search} (trials=True exports)"
            return True
        try:
            preparation.source.check(run)
            preparation.data = validation_set(run.trainer).sample(self.images)
        except ValueError as error:
            self._off = f"nothing: {error}"
            LOGGER.warning(f"ExportBest does nothing in this run: {error}")
        return True

    def on_train_start(self, trainer: Any) -> None:
        """Export an untrained copy, to find out early whether the model can be exported at all."""
        run = TrainingRun.of(trainer)
        self.validate(run)
        if self._off or run.ended or not run.is_main:
            return
        job = self._preparation.untrained_job(run) if self._preparation is not None else None
        if job is None:
            LOGGER.warning(
                f"ExportBest: whether this model exports to {self.format} shows at the first export only: it is not "
                "made from a YAML of Ultralytics that another process can load"
            )
        else:
            self._begin(run, job)

    # In each epoch ----------------------------------------------------------------------------------------------------

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Take over an export that is done; start that of a new best."""
        preparation = self._preparation
        if self._off or preparation is None:
            return
        job = self._job
        if job is not None and job.is_done(self._timeout):
            self._take_over(run, job)
        if self.when == "best" and self._job is None and not run.stopping and record.epoch < run.planned_epochs:
            epoch = preparation.source.new_best(run)
            if epoch and epoch != self.exported_epoch:
                self._begin(run, preparation.job(run, epoch, threads=_THREADS))

    def _begin(self, run: TrainingRun, job: ExportJob) -> None:
        """Start a job in the thread of the run: after the copy of the checkpoint, and before the next one."""
        job.command = self._command
        self._job = job
        run.run_in_background(job.start)

    def _take_over(self, run: TrainingRun, job: ExportJob) -> None:
        """Judge what a job has reached; publish its export."""
        self._job = None
        tolerance = complete_tolerance(self.tolerance, precision_of(self.arguments))
        result = job.result()
        finding = Finding.of(result, tolerance, untrained=job.checkpoint is None)
        if job.checkpoint is None:
            if finding.verdict != PROVEN:
                LOGGER.warning(
                    f"ExportBest: a copy of this model with untrained weights does not pass as {self.format}: "
                    f"{finding.reason}. Training goes on"
                )
            run.run_in_background(job.close)
            return
        self._finding, self.exported_epoch = finding, job.epoch
        entry = finding.entry(None, job.request.arguments, tolerance)
        run.run_in_background(self._publish, job, finding, entry)
        if finding.verdict != PROVEN:
            LOGGER.warning(f"ExportBest: {job.checkpoint.name} as {self.format} is {finding.verdict}: {finding.reason}")

    def _publish(self, job: ExportJob, finding: Finding, entry: Mapping[str, Any]) -> None:
        """Publish an export. A thread calls it: it does not raise."""
        checkpoint = job.checkpoint
        exported = None if finding.verdict == FAILED else job.exported(finding.result)
        try:
            if checkpoint is not None:
                self.exported_path = self._publication.publish(exported, checkpoint, job.epoch, finding, entry)
        except OSError as error:
            self._finding = Finding(FAILED, f"it could not be written: {error}", finding.result)
            LOGGER.warning(f"ExportBest: the export to {self.format} could not be written: {error}")
        finally:
            job.close()

    # At the end -------------------------------------------------------------------------------------------------------

    def on_train_end(self, trainer: Any) -> None:
        """Note that the training has reached its end."""
        self._reached_end = True
        run = TrainingRun.of(trainer)
        if not run.in_suite(self):  # nobody calls `finalize` then
            self.validate(run)
            self.finalize(run)

    def finalize(self, run: TrainingRun) -> None:
        """Export the checkpoint that the run ends with, and wait for it."""
        try:
            self._finish(run)
        except (KeyboardInterrupt, SystemExit) as error:
            # The training is complete: first the run gets its table, its state and its stripped last.pt.
            LOGGER.warning(f"ExportBest: the export to {self.format} is given up")
            self._finding = Finding(FAILED, f"interrupted by {type(error).__name__}", {})
            run.supervision.end.raising = run.supervision.end.raising or error
        finally:
            self._drop_job()

    def _finish(self, run: TrainingRun) -> None:
        preparation = self._preparation
        if self._off or preparation is None or not run.is_main:
            return
        run.wait_for_background()
        self._off = reason_for_no_export(run, reached_end=self._reached_end)
        epoch = preparation.source.last_best(run)
        if self._off or epoch is None:
            self._off = self._off or "nothing: the run has no best checkpoint"
            self._retract(run, epoch)
            return
        job = self._job
        if job is not None and (job.checkpoint is None or job.epoch != epoch):
            self._drop_job()
            job = None
        if job is None and self._is_exported(run, epoch):
            return
        if job is None:
            job = preparation.job(run, epoch, threads=min(_THREADS_AT_END, os.cpu_count() or 1))
            self._begin(run, job)
        timeout = min(self._timeout, max(1.0, run.seconds_left - _RESERVE))
        LOGGER.info(
            f"ExportBest: exporting {preparation.checkpoint(run).name} to {self.format} and comparing both on "
            f"{len(preparation.data.images)} images, at most {timeout:.0f} s"
        )
        run.wait_for_background()
        job.wait(timeout)
        self._take_over(run, job)
        run.wait_for_background()

    def _retract(self, run: TrainingRun, epoch: int | None) -> None:
        """Remove an export whose checkpoint has been replaced by a better one: it has that one's name."""
        if self.exported_epoch and epoch and epoch != self.exported_epoch:
            self._publication.retract(run.weights_dir)
            self.exported_path = self._finding = None

    def _is_exported(self, run: TrainingRun, epoch: int) -> bool:
        path = self.exported_path
        return bool(epoch) and epoch == self.exported_epoch and path is not None and path.exists()

    def _drop_job(self) -> None:
        job, self._job = self._job, None
        if job is not None:
            job.close()

    def outcome(self) -> str | None:
        """Return whether the export predicts the same, and where it is."""
        finding = self._finding
        if finding is None:
            return self._off or None
        of_which = (
            f"epoch {self.exported_epoch} as {self.format}" if self.exported_epoch else f"best.pt as {self.format}"
        )
        if finding.verdict == PROVEN:
            return f"{of_which} predicts the same: {finding.reason}: {self.exported_path}"
        kept = f"; kept as {self.exported_path}" if self.exported_path else ""
        return f"{of_which} is {finding.verdict}: {finding.reason}{kept}"

    def written_files(self) -> list[Path]:
        """Return the exports of this run that are files, also that of the end, which is not there yet."""
        source = self._preparation.source if self._preparation is not None else None
        if source is None or source.folder is None:
            return []
        names = [*self._publication.files, *source.export_names(suffix_of(self.format))]
        return [path for path in map(source.folder.joinpath, dict.fromkeys(names)) if not path.is_dir()]

    # A resume ---------------------------------------------------------------------------------------------------------

    def state_key(self, task: str) -> str:
        """Return the class, the format and the checkpoint."""
        return f"{type(self).__name__}({self.format}{f', {self.of}' if self.of else ''})"

    def output_files(self, task: str) -> set[str]:
        """Return the export as a pattern: two of one format and one checkpoint would replace each other."""
        return {f"the export of {self.of or 'the best checkpoint'} to {self.format}"}

    def state_dict(self) -> dict[str, Any]:
        """Return which epoch is exported, and to which files."""
        return {"exported_epoch": self.exported_epoch, "files": self._publication.files}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore which epoch is exported, and to which files."""
        found = read_fields(state, {"exported_epoch": Field(whole(), 0), "files": Field(listing(text), [])})
        self.exported_epoch = found["exported_epoch"]
        self._publication.files = [name for name in found["files"] if Path(name).name == name]
