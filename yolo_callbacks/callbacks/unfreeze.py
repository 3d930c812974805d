"""Freeze and unfreeze layers by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from yolo_callbacks.callbacks.callback import Callback
from yolo_callbacks.decisions.layers import LayerSchedule, ModelParts, RateFactors
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.arguments import validate_bool
from yolo_callbacks.utils.files import LOGGER

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Unfreeze"]

_EVERYTHING = ModelParts(1, None).describe([0])


class Unfreeze(Callback):
    """Freeze and unfreeze layers by epoch: train the head first, then more and more of the model.

    Each entry of the schedule says what is trained after so many epochs: `0` is the start of the training, `5` the
    start of the sixth epoch, after five epochs. What it names is trained in addition to what is trained already; a name
    with `-` before it is frozen again. So `{0: "head", 5: "neck", 10: "all", 50: "-backbone"}` trains the head for five
    epochs, head and neck for five, everything up to epoch 50, and then no longer the backbone.

    Parts are those of the model's `.yaml`: `"backbone"`, the last layer as `"head"`, and the layers between them as
    `"neck"`. A number is a layer as Ultralytics counts them, from 0; `"0-9"` is a range with both ends. `"all"` is
    everything. What `freeze=` or your own code has frozen before the first epoch stays frozen.

    A frozen layer does not change, and has no gradients and no state in the optimizer: a layer that is freed starts
    with a fresh one. The running statistics of its batch norm stay as they are too. On several GPUs every rank freezes
    the same layers. A resumed run goes on with the layers of its epoch.

    With `compile=True` on several GPUs layers cannot be frozen: one warning says so, and the callback is off.

    Args:
        schedule: What is trained after how many epochs: a name, or a list of names. It needs an entry for `0`.
        lr_scale: A factor of the learning rate, above 0: a number for all layers that are not trained from the start,
            or a factor by name, such as `{"backbone": 0.1, "neck": 0.5}`, of which a later one replaces an earlier one.
            Defaults to `None`, the same rate for all layers.
        freeze_bn: Whether the running statistics of frozen batch norm stay as they are. Defaults to `True`.

    Attributes:
        trained: The layers that are trained now, in words; empty before the first epoch.
        stages: The layers that the schedule trains, in words, by the first epoch in which it does, counted from 1.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If the schedule has no entry for `0`, a name means no layers, or a factor is not above 0; before the
            first epoch, if the model has no such layers, or nothing would be trained.

    Example:
        >>> from ultralytics import YOLO
        >>> from yolo_callbacks import Unfreeze, attach
        >>> model = YOLO("yolo11n.yaml")
        >>> suite = attach(model, Unfreeze({0: "head", 5: "all"}, lr_scale={"backbone": 0.1}))

    Logs `unfreeze/trained`, the share of the weights that are trained, in every epoch. Writes no file. `lr_scale` acts
    in each step of the optimizer: `trainer.lr`, `results.csv` and loggers show the rates without it.
    """

    every_rank = True

    def __init__(
        self,
        schedule: Mapping[int, str | int | Sequence[str | int]],
        *,
        lr_scale: float | Mapping[str | int, float] | None = None,
        freeze_bn: bool = True,
    ) -> None:
        self._layers, self._factors = LayerSchedule(schedule), RateFactors(lr_scale)
        self.schedule, self.lr_scale = schedule, lr_scale
        self.freeze_bn = validate_bool("freeze_bn", freeze_bn)
        self.reset()

    def reset(self) -> None:
        """Forget the last run."""
        self.trained = ""
        self.stages: dict[int, str] = {}
        self._last_epoch, self._obstacle = 0, ""
        self._in_line = _EVERYTHING  # what the last line in the log said; a training without freezing needs no line
        self._statistics_frozen = False

    def in_epochs(self, epochs: str | int) -> Self:
        """Refuse: frozen layers must be kept frozen in every epoch.

        Raises:
            ValueError: Always.
        """
        raise ValueError("epochs cannot be chosen for Unfreeze: its schedule says what is trained in which epoch")

    def validate(self, run: TrainingRun) -> bool:
        """Check that the model has the layers, and that some of them are trained in every epoch."""
        self._obstacle = run.layers.obstacle
        if self._obstacle:
            if run.is_main:
                LOGGER.warning(f"{type(self).__name__} is off for this run: {self._obstacle}")
            return True
        parts = run.layers.parts
        self._factors.of_layers(self._layers, parts)
        for done in self._layers.epochs:
            layers = self._layers.trained(done, parts)
            if not run.layers.size(layers):
                why = " (what freeze= has frozen stays frozen)" if layers else ""
                raise ValueError(f"schedule={self.schedule!r} trains no layer after {done} epochs{why}")
            self.stages[done + 1] = parts.describe(layers)
        return True

    def on_train_epoch_start(self, trainer: Any) -> None:
        """Freeze and unfreeze the layers for this epoch."""
        run = TrainingRun.of(trainer)
        if not self.stages and not self._obstacle:  # without a suite
            self.validate(run)
        if self._obstacle:
            return
        done, parts = run.epoch - 1, run.layers.parts
        layers = self._layers.trained(done, parts)
        run.layers.train_only(layers, self._factors.of_layers(self._layers, parts))
        self._statistics_frozen = False
        self.trained = parts.describe(layers)
        if self.trained != self._in_line:
            self._in_line = self.trained
            self._log_change(run, layers)

    def _log_change(self, run: TrainingRun, layers: frozenset[int]) -> None:
        parts, (trained, every) = run.layers.parts, self._sizes(run, layers)
        frozen = set(range(parts.count)) - layers
        if run.is_main:
            LOGGER.info(
                f"{type(self).__name__}: epoch {run.epoch}, trains {self.trained}: {trained:,} of {every:,} weights "
                f"({trained / every:.0%}){f', frozen: {parts.describe(frozen)}' if frozen else ''}"
            )

    def on_train_batch_start(self, trainer: Any) -> None:
        """Freeze the running statistics: Ultralytics has set the model to training mode for this epoch."""
        if self.freeze_bn and not self._statistics_frozen and self.trained:
            TrainingRun.of(trainer).layers.freeze_statistics()
            self._statistics_frozen = True

    def on_train_epoch_end(self, trainer: Any) -> None:
        """Keep layers that were never trained as they are in the EMA too, which is validated and saved."""
        if not self.trained:
            return
        run = TrainingRun.of(trainer)
        parts = run.layers.parts
        untouched = set(range(parts.count)) - self._layers.trained_before(run.epoch - 1, parts)
        run.layers.copy_to_average(untouched, statistics=self.freeze_bn)

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """Log the share of the weights that were trained."""
        if run.is_main and not self._obstacle:
            self._last_epoch = record.epoch
            # by the epoch of the record: after a kill, a suite calls this before the first epoch of the resumed run
            trained, every = self._sizes(run, self._layers.trained(record.epoch - 1, run.layers.parts))
            record.log("unfreeze/trained", trained / every)

    def _sizes(self, run: TrainingRun, layers: frozenset[int]) -> tuple[int, int]:
        """Return how many weights some layers have, and how many all have; without what stays frozen."""
        return run.layers.size(layers), run.layers.size(range(run.layers.parts.count))

    def resume(self, run: TrainingRun) -> None:
        """Note how many epochs the run has had."""
        self._last_epoch = run.completed_epochs

    def teardown(self, trainer: Any) -> None:
        """Remove what was registered with the optimizer."""
        TrainingRun.of(trainer).layers.close()

    def logged_scalars(self, task: str) -> tuple[str, ...]:
        """Return the key of the share."""
        return ("unfreeze/trained",)

    def outcome(self) -> str:
        """Return what was trained from which epoch on."""
        if self._obstacle:
            return f"off: {self._obstacle}"
        stages: dict[int, str] = {}
        for epoch, words in self.stages.items():
            if epoch <= max(self._last_epoch, 1) and words != next(reversed(stages.values()), ""):
                stages[epoch] = words
        return "; ".join(f"{words} from epoch {epoch} on" for epoch, words in stages.items())
