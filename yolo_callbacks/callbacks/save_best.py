"""Keep the best checkpoints by any monitor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.callbacks.monitor_callback import MonitorCallback
from yolo_callbacks.callbacks.monitor_parts.forwarding import forwarded
from yolo_callbacks.callbacks.save_best_parts.files import CheckpointFiles
from yolo_callbacks.callbacks.save_best_parts.guards import Guards, validate_guard
from yolo_callbacks.callbacks.save_best_parts.kept import KeptCheckpoints, read_kept
from yolo_callbacks.callbacks.save_best_parts.names import first_version_stem_of, stem_of, validate_filename
from yolo_callbacks.callbacks.save_best_parts.promotion import Promotion
from yolo_callbacks.callbacks.save_best_parts.sidecar import describe_checkpoint
from yolo_callbacks.decisions.comparison import never_above_zero
from yolo_callbacks.decisions.ranking import Ranking
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.monitor import MonitorLike
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_int
from yolo_callbacks.utils.fields import Field, mapping, number, optional, read_fields, text
from yolo_callbacks.utils.files import LOGGER

__all__ = ["SaveBest"]


class SaveBest(MonitorCallback):
    """Keep the `top_k` best checkpoints by a monitor, each with a JSON file beside it that describes it.

    Ultralytics keeps one best.pt, by fitness. Use several `SaveBest` in one suite to keep the best by several monitors.
    Each file is a copy of the checkpoint that Ultralytics has just written; it is not serialised again. A file appears
    under its name only when it is complete, and an old file is removed only after the new one is there. In a suite a
    thread copies the file: the training does not wait for the disk. At the end of a training the checkpoints kept are
    stripped of optimizer and training state, as Ultralytics does with best.pt.

    While nothing is detected (all mAP are 0, as at the start of a training from scratch), no value shows which epoch is
    best. Then the latest `top_k` epochs are kept as stand-ins, and removed when the first epoch that detects something
    is saved. A later epoch that detects nothing is never kept.

    With `save=False` this callback serialises its own files, at each new best; Ultralytics' last.pt and best.pt are the
    same as without this callback.

    Args:
        monitor: The value to read each epoch. Defaults to `None`, the task's main metric.
        mode: `"min"` if lower is better, `"max"` if higher is better. Defaults to `"auto"`: the name says it.
        top_k: How many checkpoints to keep. Defaults to `1`.
        min_delta: By how much a value must be better than the worst one kept, in the unit of the monitor. Defaults
            to `0.0`; a tie keeps the earlier epoch.
        filename: Replaces `best-<monitor>` in the names of the files. A name without a folder, of letters, digits and
            `._()-`, at most 228 bytes. Defaults to `None`.
        start_epoch: Epochs up to this one are not saved. Defaults to `0`.
        keep_optimizer: Whether to leave the checkpoints unstripped, so that training can continue from them. Defaults
            to `False`.
        promote: Whether to replace the model's own choice: best.pt, the final validation and the weights in `model`
            after `model.train()` are the best by the monitor. Defaults to `False`.
        guard: By how much other monitors may be worse than at the last best epoch, by name:
            `{"mAP50-95/person": 0.02}`. An epoch that is worse is not saved. Defaults to `None`.
        skip_untrained: Whether an epoch that detects nothing is no check. Defaults to `True`.

    Monitors:
        - `None`: the task's main metric, such as `mAP50-95`.
        - `"mAP50"`, `"precision"`, `"recall"`, `"fitness"`; `"mAP50(M)"` of masks, `"mAP50(P)"` of poses; `"top1"`.
        - `"val/loss"`, `"train/loss"`: the sum of the losses. `"val/box_loss"`: one of them.
        - `"mAP50-95/person"`, `"recall/3"`: one class, by name or index. `"min(mAP50-95)"`: the worst class.
        - `{"mAP50": 0.1, "mAP50-95": 0.9}`: a weighted sum.
        - A function of the epoch's metrics, or any other key of `trainer.metrics`: both need a `mode`.

    Attributes:
        best_score: The best value saved, None before the first one.
        best_epoch: The epoch of the best value, or of the latest stand-in, counted from 1; 0 before the first one.
        best_model_path: The file of that epoch, None before the first one.
        best_k_models: The value of each file kept: the best first, of stand-ins the latest first.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If `top_k` is less than 1, `min_delta`, `start_epoch` or a guard is negative, `filename` is no plain
            name, one of Ultralytics' own or one that Windows reserves, or a monitor cannot be one; before the first
            epoch, if a monitor does not exist in the run; on `attach`, if another callback would write the same file.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import SaveBest, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, SaveBest("mAP50", top_k=3), SaveBest("recall"))

    Logs `best/<monitor>`, the best value so far. Writes `weights/best-<monitor>.pt`, or with `top_k` > 1
    `weights/best-<monitor>-epoch<NNN>.pt`, and beside each a `.json`: epoch, monitor, mode, value, all metrics of the
    epoch, values by class, the confidence of the best F1 by class, `thresholds` (the lowest confidence from which on a
    class reaches a precision of 0.8, 0.9 and 0.95), versions, and `"stand_in"`. In the name of a monitor each run of
    characters other than letters, digits, `.` and `_` becomes one `-`: `best-mAP50-95-M.pt`.
    """

    best_score: float | None = forwarded("_kept.best_score")
    best_epoch: int = forwarded("_kept.best_epoch")
    best_model_path: Path | None = forwarded("_kept.best_path")

    def __init__(
        self,
        monitor: MonitorLike = None,
        mode: str = "auto",
        *,
        top_k: int = 1,
        min_delta: float = 0.0,
        filename: str | None = None,
        start_epoch: int = 0,
        keep_optimizer: bool = False,
        promote: bool = False,
        guard: Mapping[str, float] | None = None,
        skip_untrained: bool = True,
    ) -> None:
        super().__init__(monitor, mode, min_delta=min_delta, start_epoch=start_epoch, skip_untrained=skip_untrained)
        self.top_k = validate_int("top_k", top_k, minimum=1)
        self.filename = None if filename is None else validate_filename(filename)
        self.keep_optimizer = validate_bool("keep_optimizer", keep_optimizer)
        self.promote = validate_bool("promote", promote)
        self.guard = None if guard is None else validate_guard(guard)
        self.reset()

    @property
    def best_k_models(self) -> dict[Path, float]:
        """The value of each file kept: the best first, of stand-ins the latest first."""
        return {self._files.path(epoch): value for epoch, value in self._kept.values.items()}

    def reset(self) -> None:
        """Forget the last run; its files stay."""
        super().reset()
        self._files = CheckpointFiles(by_epoch=self.top_k > 1)
        self._kept = KeptCheckpoints(Ranking("min", self.top_k, self.min_delta), self._files)  # mode: in `decide`
        self._guards = Guards(self.guard or {})
        self._promotion = Promotion()

    def validate(self, run: TrainingRun) -> bool:
        """Check that the monitor and the guarded monitors exist in this run."""
        names = run.metric_names(before=self)
        if self._guards.reads_sizes(names):
            run.measure_sizes()
        guards_exist = not run.is_main or self._guards.bind(names)
        monitor_exists = super().validate(run)
        self._files.folder = run.weights_dir
        self._files.stem = self._files.stem or self._stem(run.task)
        return monitor_exists and guards_exist

    def output_files(self, task: str) -> set[str]:
        """Return the files as a pattern, in small letters: some file systems do not distinguish upper case."""
        own = f"weights/{self._stem(task)}{'' if self.top_k == 1 else '-epoch<NNN>'}.pt".casefold()
        return {own, "weights/best.pt"} if self.promote else {own}

    def state_key(self, task: str) -> str:
        """Return the class and the name of the files, which no two callbacks may share."""
        return f"{type(self).__name__}({self._stem(task)})"

    def old_state_keys(self, task: str) -> tuple[str, ...]:
        """Return the key of version 0.1."""
        return (f"{type(self).__name__}({self._first_version_stem(task)})",)

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Decide on the epoch, then replace best.pt, which Ultralytics may have written just before."""
        super().on_epoch(run, record)
        if self.promote and self.best_model_path and run.is_main:
            choice, epoch = self.best_model_path, self.best_epoch
            self._promotion.carry_out(run, choice, epoch, monitor=self.monitor_name, score=self.best_score)

    def decide(self, run: TrainingRun, record: EpochRecord, value: float) -> None:
        """Save the epoch if it is among the best and no guarded monitor has got worse."""
        self._kept.ranking.mode = self.mode
        decision = self._kept.ranking.consider(record.epoch, value)
        if decision.keep and self._guards.hold(record) and self._save(run, record, value, stand_in=False):
            self._kept.add(run, record.epoch, value, evicted=decision.evicted)
            if self.best_epoch == record.epoch:
                self._guards.remember(record)
                if value or self.mode == "min":
                    LOGGER.info(f"SaveBest: best {self.monitor_words} so far, {value:g} at epoch {record.epoch}")
        if self.best_score is not None:
            self.log(record, f"best/{self.monitor_name}", self.best_score)

    def skip(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """Keep the epoch as a stand-in."""
        if not self._kept.ranking.kept and self._save(run, record, value, stand_in=True):
            self._kept.add_stand_in(run, record.epoch, value)

    def finish(self, run: TrainingRun) -> None:
        """Strip the checkpoints kept."""
        if not self.keep_optimizer:
            self._files.strip(run, self._kept.values)

    def resume(self, run: TrainingRun) -> None:
        """Compare the epochs kept with their files, and go on without those whose file is missing or another."""
        super().resume(run)
        self._files.folder = run.weights_dir
        if self.monitor.bound:
            self._kept.ranking.mode = self.mode
            self._kept.ranking.sort()
        self._kept.resume(run)

    def outcome(self) -> str:
        """Return the best value, its epoch and its file."""
        more = len(self._kept.values) - 1
        others = f" and {more} more" if more > 0 else ""
        if self._kept.stand_ins:
            kept = f"kept the latest, epoch {self.best_epoch}: {self.best_model_path}{others}"
            return f"{self.shown_words}: {self.no_check()}; {kept}"
        if self.best_score is None:
            return f"{self.shown_words}: {self.no_check() or 'nothing saved'}"
        if never_above_zero(self.best_score, self.mode, self.min_delta):
            return f"{self.monitor_words} was 0 in every epoch: {self.best_model_path}{others}"
        promoted = "; best.pt is this epoch" if self.promote else ""
        saved = f"{self.monitor_words} {self.best_score:g} at epoch {self.best_epoch}: {self.best_model_path}{others}"
        return saved + promoted

    def written_files(self) -> list[Path]:
        """Return the checkpoints kept, and the JSON file beside each."""
        return [file for path in self.best_k_models for file in (path, path.with_suffix(".json"))]

    def state_dict(self) -> dict[str, Any]:
        """Return the checks, the epochs kept, the name of their files and the reference of the guards."""
        stem = self._files.stem or self._stem(self._yolo_callbacks_task)
        return {**super().state_dict(), **self._kept.state_dict(), **self._guards.state_dict(), "stem": stem}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the checks, the epochs kept, the name of their files and the reference of the guards."""
        kept = read_kept(state, self.top_k)
        found = read_fields(
            state,
            {
                "reference": Field(mapping(optional(number())), {}),
                "stem": Field(text, None),
                "folder": Field(text, None),  # that of the run, from `Suite.load_results`
            },
        )
        super().load_state_dict(state)
        if (kept["top_k"] == 1) != (self.top_k == 1):
            raise ValueError(f"its files are named as with top_k={kept['top_k']}")
        self._kept.load_state_dict(kept)
        self._guards.load_state_dict(found)
        # A file of any content must not choose where files are written: accept only a name that this monitor gives.
        own, old = self._stem(self._yolo_callbacks_task), self._first_version_stem(self._yolo_callbacks_task)
        self._files.stem = own if found["stem"] == own else old
        if found["folder"] is not None:
            self._files.folder = Path(found["folder"]) / "weights"

    def _stem(self, task: str) -> str:
        return self.filename or stem_of(self.monitor.name(task))

    def _first_version_stem(self, task: str) -> str:
        return self.filename or first_version_stem_of(self.monitor.name(task))

    def _save(self, run: TrainingRun, record: EpochRecord, value: float | None, *, stand_in: bool) -> bool:
        monitor, mode = self.monitor_name, self.mode
        sidecar = describe_checkpoint(record, monitor=monitor, mode=mode, value=value, stand_in=stand_in)
        return self._files.save(run, record, sidecar)
