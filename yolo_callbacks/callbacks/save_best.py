"""Keep the best checkpoints by any monitor."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from yolo_callbacks.callbacks.monitor_callback import MonitorCallback
from yolo_callbacks.callbacks.monitor_parts.patience import last_checked_epoch
from yolo_callbacks.decisions import Guarded, Ranking, broken_guard
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.metrics.monitor import Monitor, MonitorLike
from yolo_callbacks.trainer.checkpoint_copies import (
    copy_checkpoint,
    fetch_checkpoint,
    holds_epoch,
    remove_checkpoint,
    strip,
    write_sidecar,
)
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool, validate_float, validate_int
from yolo_callbacks.utils.fields import (
    Field,
    StateError,
    listing,
    mapping,
    number,
    optional,
    pair,
    read_fields,
    text,
    whole,
)
from yolo_callbacks.utils.files import LOGGER
from yolo_callbacks.utils.version import versions

__all__ = ["SaveBest"]

# File systems allow 255 bytes of a name. On top of a stem come the epoch, the longest ending, and what the name of a
# temporary file, or of one that was set aside, adds.
_MAX_FILENAME = 255 - len("-epoch9999999" + ".json" + ".corrupt" + "." + ".0123456789abcdef.tmp")
# For the name of a monitor, which may be as long as that of a class is.
_MAX_STEM = 150
# Windows reserves these whatever follows a dot, so that a folder of checkpoints could not be copied there.
_DEVICES = re.compile(r"(con|prn|aux|nul|(com|lpt)\d)(\..*)?", re.IGNORECASE)
# Ultralytics writes these itself, and one with top_k > 1 those with an epoch at the end.
_RESERVED = re.compile(r"last|best|(.*-)?epoch\d+", re.IGNORECASE)


class SaveBest(MonitorCallback):
    """Keep the `top_k` best checkpoints by a monitor, each with a JSON beside it that says what it is.

    Ultralytics keeps one best.pt, by fitness. Several of these can stand side by side. A file is the checkpoint that
    Ultralytics has just written, copied and never serialised again; it appears under its name complete or not at
    all, and the new one is there before the old one goes. In a suite the copying is done by a thread: the training
    waits for no disk. At the end of a training the survivors are stripped of optimizer and training state, as
    Ultralytics does with best.pt.

    While nothing is detected (all mAP 0, as at the start of a training from scratch), no value says which epoch is
    best: the latest `top_k` epochs are kept as stand-ins, and go when the first epoch that detects something is saved.
    An epoch that detects nothing after that is never kept.

    With `save=False` this serialises its own files, at each new best; Ultralytics' last.pt and best.pt are as without.

    Args:
        monitor: What to read each epoch. Defaults to `None`, the task's main metric.
        mode: `"min"` if lower is better, `"max"` if higher is better. Defaults to `"auto"`, told by the name.
        top_k: How many checkpoints to keep. Defaults to `1`.
        min_delta: By how much a value must be better than the worst one kept, in the unit of the monitor. Defaults
            to `0.0`; a tie keeps the earlier epoch.
        filename: Replaces `best-<monitor>` in the names of the files, without a folder; of letters, digits and `._()-`,
            at most 228 bytes. Defaults to `None`.
        start_epoch: Epochs up to this one are not saved. Defaults to `0`.
        keep_optimizer: Leave the checkpoints as they are, so that training can go on from them. Defaults to `False`.
        promote: Make this the model's own choice: best.pt, the final validation and the weights that `model.train()`
            leaves in `model` are the best by the monitor. Defaults to `False`.
        guard: By how much other monitors may be worse than at the last best for an epoch to be saved, by name:
            `{"mAP50-95/person": 0.02}`. Defaults to `None`.
        skip_untrained: Whether the rule for epochs that detect nothing is on. Defaults to `True`.

    Attributes:
        best_score: The best value saved, None before there is one.
        best_epoch: Its epoch, or that of the latest stand-in, counted from 1; 0 before there is one.
        best_model_path: Its file, None before there is one.
        best_k_models: The value of each file kept, best first; of stand-ins, latest first.

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

    Publishes `best/<monitor>`, the best value so far. Writes `weights/best-<monitor>.pt`, or with `top_k` > 1
    `weights/best-<monitor>-epoch<NNN>.pt`, and beside each a `.json`: epoch, monitor, mode, value, all metrics of the
    epoch, values by class, the confidence of the best F1 by class, versions, and `"stand_in"`. In the name of a
    monitor each run of characters other than letters, digits, `.` and `_` becomes one `-`: `best-mAP50-95-M.pt`.
    """

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
        self.filename = None if filename is None else _check_filename(filename)
        self.keep_optimizer = validate_bool("keep_optimizer", keep_optimizer)
        self.promote = validate_bool("promote", promote)
        self.guard = _check_guard(guard)
        self._guards = {name: Monitor(name) for name in self.guard}
        self.reset()

    def reset(self) -> None:
        """Forget the last run; its files stay."""
        super().reset()
        self._ranking: Ranking | None = None
        self._kept: dict[int, float] = {}
        self._stand_ins: dict[int, float] = {}
        self._first_stem: str | None = None
        self._reference: dict[str, float | None] = {}
        self._promoted: tuple[object, ...] = ()
        self._folder = Path()
        self._stripped: set[Path] = set()
        for monitor in self._guards.values():
            monitor.unbind()

    @property
    def best_k_models(self) -> dict[Path, float]:
        """The value of each file kept, best first; of stand-ins, latest first."""
        return {self._path(epoch): value for epoch, value in (self._stand_ins or self._kept).items()}

    @property
    def best_epoch(self) -> int:
        """The epoch of the best file, 0 before there is one."""
        return next(iter(self._stand_ins or self._kept), 0)

    @property
    def best_score(self) -> float | None:
        """The value of the best file, None before there is one."""
        return None if self._stand_ins else self._kept.get(self.best_epoch)

    @property
    def best_model_path(self) -> Path | None:
        """The best file, None before there is one."""
        return self._path(self.best_epoch) if self.best_epoch else None

    def validate(self, run: TrainingRun) -> bool:
        """Whether the monitor and the guards exist in this run."""
        self._folder = run.weights_dir
        bound = [not run.is_main or monitor.bind(run.metric_names()) for monitor in self._guards.values()]
        return super().validate(run) and all(bound)

    def output_files(self, task: str) -> set[str]:
        """The files it writes, as a pattern. Folded, because some file systems do not tell case apart."""
        own = f"weights/{self._own_stem(task)}{'' if self.top_k == 1 else '-epoch<NNN>'}.pt".casefold()
        return {own, "weights/best.pt"} if self.promote else {own}

    def state_key(self, task: str) -> str:
        """The class and the files it writes, which no two may share."""
        return f"{type(self).__name__}({self._own_stem(task)})"

    def old_state_keys(self, task: str) -> tuple[str, ...]:
        """The key that the first version gave to the state."""
        return (f"{type(self).__name__}({self._old_stem(task)})",)

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Decide on the epoch, then replace best.pt by the choice: Ultralytics writes its own just before."""
        super().on_epoch(run, record)
        if self.promote and self.best_model_path and run.is_main:
            self._promote(run, self.best_model_path)

    def decide(self, run: TrainingRun, record: EpochRecord, value: float) -> None:
        """Save the epoch if it is among the best."""
        ranking = self._ranking = self._ranking or Ranking(self.mode, self.top_k, self.min_delta, dict(self._kept))
        decision = ranking.consider(record.epoch, value)
        if decision.keep and self._guards_hold(record) and self._save(run, record, value):
            ranking.add(record.epoch, value, evicted=decision.evicted)
            self._kept = ranking.kept
            stand_ins, self._stand_ins = self._stand_ins, {}
            if self.best_epoch == record.epoch:
                self._reference = self._guarded_values(record)
            self._remove(run, [*stand_ins, *([] if decision.evicted is None else [decision.evicted])])
        if self.best_score is not None:
            self.log(record, f"best/{self.monitor_name}", self.best_score)

    def skip(self, run: TrainingRun, record: EpochRecord, value: float | None) -> None:
        """Keep the epoch as a stand-in, and drop the earliest of more than `top_k`."""
        if not self._kept and self._save(run, record, value, stand_in=True):
            latest = {record.epoch: math.nan if value is None else value, **self._stand_ins}
            self._stand_ins = dict(list(latest.items())[: self.top_k])
            self._remove(run, latest.keys() - self._stand_ins.keys())

    def finish(self, run: TrainingRun) -> None:
        """Strip the survivors."""
        for path in () if self.keep_optimizer else self.best_k_models:
            if path not in self._stripped:
                self._stripped.add(path)
                strip(path)

    def outcome(self) -> str:
        """The best value, its epoch and its file."""
        if self._stand_ins:
            kept = f"kept the latest, epoch {self.best_epoch}: {self.best_model_path}"
            return f"{self.shown_name}: {self.no_check()}; {kept}"
        if self.best_score is None:
            return f"{self.shown_name}: {self.no_check() or 'nothing saved'}"
        others = f" and {len(self._kept) - 1} more" if len(self._kept) > 1 else ""
        return f"{self.monitor_name} {self.best_score:g} at epoch {self.best_epoch}: {self.best_model_path}{others}"

    def written_files(self) -> list[Path]:
        """The checkpoints kept, and the JSON beside each."""
        return [file for path in self.best_k_models for file in (path, path.with_suffix(".json"))]

    def state_dict(self) -> dict[str, Any]:
        """The epochs kept, best first, their names, and what the guards compare with."""
        return {
            **super().state_dict(),
            "top_k": self.top_k,
            "kept": [[epoch, value] for epoch, value in self._kept.items()],
            "stand_ins": [[epoch, value] for epoch, value in self._stand_ins.items()],
            "stem": self._stem,
            "reference": self._reference,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the epochs kept."""
        epoch = whole(1, last_checked_epoch(state))
        found = read_fields(
            state,
            {
                "top_k": Field(whole(1), self.top_k),
                "kept": Field(listing(pair(epoch, number()))),
                "stand_ins": Field(listing(pair(epoch, optional(number()))), []),
                "reference": Field(mapping(optional(number())), {}),
                "stem": Field(text, None),
                "folder": Field(text, None),  # the run's, from `Suite.load_results`
            },
        )
        kept, stand_ins = dict(found["kept"]), dict(found["stand_ins"])
        if len(kept) < len(found["kept"]) or len(stand_ins) < len(found["stand_ins"]) or (kept and stand_ins):
            raise StateError("it keeps one epoch twice")
        if max(len(kept), len(stand_ins)) > found["top_k"]:
            raise StateError(f"it keeps more epochs than top_k={found['top_k']}")
        super().load_state_dict(state)
        if (found["top_k"] == 1) != (self.top_k == 1):
            raise ValueError(f"its files are named as with top_k={found['top_k']}")
        self._reference, self._kept = found["reference"], kept
        self._stand_ins = {epoch: math.nan if value is None else value for epoch, value in stand_ins.items()}
        # A file of any content must not choose where files are written: only a name that this monitor has or had.
        own, old = self._own_stem(self._task), self._old_stem(self._task)
        self._first_stem = own if found["stem"] == own else old
        if found["folder"] is not None:
            self._folder = Path(found["folder"]) / "weights"

    def resume(self, run: TrainingRun) -> None:
        """Bring files and epochs kept together: a file may be gone, of a later epoch, or one too many now."""
        super().resume(run)
        self._folder = run.weights_dir
        if self._kept and self.monitor.bound:  # in the order in which a ranking keeps them
            best_first = Ranking(self.mode, len(self._kept), kept=self._kept)
            epoch, value = next(iter(self._kept.items()))
            best_first.add(epoch, value)
            self._kept = best_first.kept
        if run.moved_from and run.resumed_checkpoint:
            for epoch, path in [(epoch, self._path(epoch)) for epoch in (*self._kept, *self._stand_ins)]:
                fetch_checkpoint(run.resumed_checkpoint.with_name(path.name), path, epoch)
        for epoch in [*list(self._kept)[self.top_k :], *list(self._stand_ins)[self.top_k :]]:
            self._drop(epoch)
        for epoch, path in [(epoch, self._path(epoch)) for epoch in (*self._kept, *self._stand_ins)]:
            if not holds_epoch(path, epoch):
                LOGGER.warning(f"SaveBest: {path} no longer holds epoch {epoch}, going on without it")
                # What is left of it: the kill may have come between two files.
                self._drop(epoch)

    def _drop(self, epoch: int) -> None:
        self._kept.pop(epoch, None)
        self._stand_ins.pop(epoch, None)
        if self.top_k > 1:
            remove_checkpoint(self._path(epoch))

    def _remove(self, run: TrainingRun, epochs: Iterable[int]) -> None:
        """Remove the files of epochs that are no longer kept; with `top_k=1` the new one has replaced them."""
        for epoch in epochs if self.top_k > 1 else ():
            path = self._path(epoch)
            with run.freed_later(path):
                remove_checkpoint(path)

    def _own_stem(self, task: str) -> str:
        """The name of the files without the epoch."""
        return self.filename or _shortened("best-" + re.sub(r"[^\w.]+", "-", self.monitor.name(task)).rstrip("-"))

    def _old_stem(self, task: str) -> str:
        """The name that the first version gave to the files."""
        return self.filename or _shortened("best-" + re.sub(r"[^A-Za-z0-9._()-]", "-", self.monitor.name(task)))

    @property
    def _stem(self) -> str:
        """The name of the files of this run; a resumed run keeps the one that it began with."""
        return self._first_stem or self._own_stem(self._task)

    def _path(self, epoch: int) -> Path:
        return self._folder / f"{self._stem}{'' if self.top_k == 1 else f'-epoch{epoch:03d}'}.pt"

    def _save(self, run: TrainingRun, record: EpochRecord, value: float | None, *, stand_in: bool = False) -> bool:
        target = self._path(record.epoch)
        saved = copy_checkpoint(lambda: run.checkpoint(record, target), target, run.copy)
        if saved:
            self._stripped.discard(target)
            run.later(write_sidecar, target, {**self._sidecar(record, value), "stand_in": stand_in})
        return saved

    def _sidecar(self, record: EpochRecord, value: float | None) -> dict[str, Any]:
        def named(values: Any) -> dict[str, float]:
            return {record.class_name(index): number for index, number in values.items()}

        return {
            "epoch": record.epoch,
            "monitor": self.monitor_name,
            "mode": self.mode,
            "value": value,
            "metrics": dict(record.metrics),
            "per_class": {metric: named(values) for metric, values in record.per_class.items()},
            "best_confidence": named(record.best_confidence),
            "versions": versions(),
        }

    def _promote(self, run: TrainingRun, choice: Path) -> None:
        """Make best.pt a copy of the choice, unless it is one: who wrote it last shows by its time and size."""
        if self._promoted == (self.best_epoch, run.best_stamp):
            return
        if copy_checkpoint(lambda: choice, run.best, run.copy):
            self._promoted = (self.best_epoch, run.best_stamp)
            run.choice = {"monitor": self.monitor_name, "score": self.best_score}

    def _guards_hold(self, record: EpochRecord) -> bool:
        guards = {name: Guarded(self.guard[name], monitor.known_mode) for name, monitor in self._guards.items()}
        reason = broken_guard(guards, self._guarded_values(record), self._reference)
        if reason:
            LOGGER.info(f"SaveBest: epoch {record.epoch} not saved, {reason}")
        return reason is None

    def _guarded_values(self, record: EpochRecord) -> dict[str, float | None]:
        return {name: monitor.value(record) for name, monitor in self._guards.items()}


def _shortened(stem: str) -> str:
    """Return a name that leaves room for an ending, with a hash where it had to be cut."""
    if len(stem.encode()) <= _MAX_STEM:
        return stem
    digest = hashlib.sha1(stem.encode(), usedforsecurity=False).hexdigest()[:8]
    return f"{stem.encode()[:_MAX_STEM].decode(errors='ignore')}-{digest}"


def _shown(filename: str) -> str:
    """Return a file name for a message, cut where it is long."""
    return repr(filename if len(filename) <= _MAX_STEM else f"{filename[:_MAX_STEM]}…")


def _check_guard(guard: object) -> dict[str, float]:
    if guard is None:
        return {}
    if not isinstance(guard, Mapping):
        raise TypeError(f"guard must map names of monitors to numbers, received {guard!r}")
    for name in guard:
        if not isinstance(name, str):
            raise TypeError(f"guard must map names of monitors to numbers, received the name {name!r}")
    return {name: validate_float(f"guard[{name!r}]", tolerance, minimum=0.0) for name, tolerance in guard.items()}


def _check_filename(filename: object) -> str:
    if not isinstance(filename, str):
        raise TypeError(f"filename must be a string or None, received {filename!r}")
    stem = filename.removesuffix(".pt")
    if not re.fullmatch(r"[A-Za-z0-9._()-]+", stem) or stem.startswith("."):
        raise ValueError(f"filename must be of letters, digits and ._()- without a folder, received {_shown(filename)}")
    if stem.endswith("."):
        raise ValueError(f"filename must not end in a dot, received {_shown(filename)}")
    if len(stem.encode()) > _MAX_FILENAME:
        raise ValueError(
            f"filename must have at most {_MAX_FILENAME} bytes, which leaves room for the epoch and the ending, "
            f"received {len(stem.encode())}: {_shown(filename)}"
        )
    if _DEVICES.fullmatch(stem):
        raise ValueError(f"filename must not be a name that Windows reserves, received {filename!r}")
    if _RESERVED.fullmatch(stem):
        raise ValueError(f"filename must not be last, best or one that ends in an epoch, received {filename!r}")
    return stem
