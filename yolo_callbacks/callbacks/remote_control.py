"""Change a running training from outside."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.callbacks.early_stopping import EarlyStopping
from yolo_callbacks.decisions.plateau import RateReduction
from yolo_callbacks.decisions.run_changes import RunChanges
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.fields import Field, listing, number, optional, pair, read_fields, text, whole
from yolo_callbacks.utils.files import LOGGER, stamp
from yolo_callbacks.utils.messages import text_of

__all__ = ["CONTROL_FILE", "RemoteControl", "digest_of", "read_changes"]

CONTROL_FILE = "control.yaml"
_MAX_BYTES = 4096


class RemoteControl(Callback):
    """Change a running training from outside: stop it, copy its checkpoint, change patience or the learning rate.

    At the end of each epoch it looks for `control.yaml` in the run's folder, which `yolo-callbacks control RUN`
    writes; any editor can write it too:

    - `stop: true` ends the training with this epoch. A resume respects it.
    - `save: true` keeps a copy of the checkpoint of this epoch, which can be resumed.
    - `patience: 30` is the patience of every `EarlyStopping` and of Ultralytics' own stopper from now on; 0 is never.
    - `lr-scale: 0.5` multiplies the learning rate of the schedule from the next epoch on; 1 takes that back.

    A file is applied once: it is read again when its content changes. A mistake in it is one warning.

    Attributes:
        changes: What was changed: the epoch and a description of each change.

    Raises:
        TypeError: If an argument is given: it takes none.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import RemoteControl, SaveBest, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, RemoteControl(), SaveBest("mAP50"))

    Logs nothing. Writes `weights/control-epoch<NNN>.pt` for `save`.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        self.changes: list[tuple[int, str]] = []
        self._key = uuid.uuid4().hex
        self._stamp: tuple[int, int] | None = None
        self._applied = ""
        self._patience: int | None = None
        self._scale = 1.0
        self._base_rates: list[float] = []
        self._copies: list[Path] = []

    def on_train_start(self, trainer: Any) -> None:
        """Take a file that is there before a new run for one of an earlier run."""
        run = TrainingRun.of(trainer)
        if run.is_main and not run.completed_epochs:
            self._stamp, self._applied = stamp(run.save_dir / CONTROL_FILE), digest_of(run.save_dir / CONTROL_FILE)

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Apply the file if it has changed."""
        path = run.save_dir / CONTROL_FILE
        if (found := stamp(path)) == self._stamp:
            return
        self._stamp, digest = found, digest_of(path)
        if not digest or digest == self._applied:
            return
        self._applied = digest
        try:
            changes = read_changes(path)
        except ValueError as error:
            LOGGER.warning(f"{path} changes nothing: {text_of(error)}")
            return
        self._apply(changes, run, record)

    def written_files(self) -> list[Path]:
        """Return the copies of checkpoints."""
        return list(self._copies)

    def outcome(self) -> str:
        """Return what was changed."""
        return "; ".join(f"epoch {epoch}: {what}" for epoch, what in self.changes) or "no change"

    # Parts ------------------------------------------------------------------------------------------------------------

    def _apply(self, changes: RunChanges, run: TrainingRun, record: EpochRecord) -> None:
        if changes.patience is not None:
            self._patience = changes.patience
            self._set_patience(run)
            self._note(record, f"patience {changes.patience}" if changes.patience else "no patience: never stop by it")
        if changes.lr_scale is not None:
            self._scale = changes.lr_scale
            before, after = run.learning_rate.reduce(self._key, self._reduction)
            self._base_rates = before
            if before != after or changes.lr_scale == 1.0:
                self._note(record, f"learning rate at {changes.lr_scale:g} of its schedule")
            else:
                LOGGER.warning(f"RemoteControl: the learning rate stays as it is: {run.learning_rate.obstacle}")
        if changes.save:
            target = run.weights_dir / f"control-epoch{record.epoch:03}.pt"
            source = run.checkpoints.find_or_write(record, target)
            if source is not None and source != target:
                run.checkpoints.copy(source, target)
            if source is not None:
                self._copies.append(target)
                self._note(record, f"copy of the checkpoint in weights/{target.name}")
        if changes.stop:
            self._note(record, "stop")
            run.stop(record, f"{CONTROL_FILE} asks for it")

    def _note(self, record: EpochRecord, what: str) -> None:
        self.changes.append((record.epoch, what))
        LOGGER.info(f"RemoteControl: epoch {record.epoch}, {what}")

    def _set_patience(self, run: TrainingRun) -> None:
        if self._patience is None:
            return
        run.change_patience(self._patience)
        for member in run.supervision.members:
            if isinstance(member, EarlyStopping):
                member.change_patience(self._patience)

    @property
    def _reduction(self) -> RateReduction:
        return RateReduction(self._scale, int(self._scale < 1.0))

    # A resume ---------------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return what was changed, and which content of the file was applied last."""
        return {
            "changes": [list(change) for change in self.changes],
            "applied": self._applied,
            "patience": self._patience,
            "lr_scale": self._scale,
            "base_rates": self._base_rates,
            "copies": [path.name for path in self._copies],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what was changed."""
        found = read_fields(
            state,
            {
                "changes": Field(listing(pair(whole(1), text)), []),
                "applied": Field(text, ""),
                "patience": Field(optional(whole()), None),
                "lr_scale": Field(number(0.0, 1.0), 1.0),
                "base_rates": Field(listing(number(0.0)), []),
                "copies": Field(listing(text), []),
            },
        )
        self.changes = [(epoch, what) for epoch, what in found["changes"]]
        self._applied, self._patience = found["applied"], found["patience"]
        self._scale, self._base_rates = found["lr_scale"] or 1.0, found["base_rates"]
        self._copies = [Path(Path(name).name) for name in found["copies"]]

    def resume(self, run: TrainingRun) -> None:
        """Apply the changes of patience and learning rate again."""
        self._copies = [run.weights_dir / path.name for path in self._copies]
        self._set_patience(run)
        if self._scale < 1.0:
            run.learning_rate.prepare(self._key, self._reduction, self._base_rates)


def digest_of(path: Path) -> str:
    """Return a hash of the content of a file; `""` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(_MAX_BYTES + 1)).hexdigest()[:16]
    except OSError:
        return ""


def read_changes(path: Path) -> RunChanges:
    """Return the changes in a file.

    Raises:
        ValueError: If it holds no changes.
    """
    import yaml

    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise ValueError(f"it is larger than {_MAX_BYTES} bytes")
    try:
        found = yaml.safe_load(content)
    except Exception as error:  # PyYAML raises anything for some scalars
        raise ValueError(f"it is no YAML: {text_of(error)}") from error
    return RunChanges.of({} if found is None else found)
