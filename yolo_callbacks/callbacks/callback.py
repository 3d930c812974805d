"""The base of every callback: Ultralytics' events as methods, and the state that a suite keeps for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from yolo_callbacks.trainer.training_run import TrainerAdaptor

__all__ = ["Callback"]


class Callback:
    """Base class of all callbacks: override the events that matter, leave the rest.

    Each method named after an event is a function of one argument, the object that Ultralytics hands to its
    callbacks. It can be registered alone, `model.add_callback("on_fit_epoch_end", callback.on_fit_epoch_end)`, or
    together with others by `attach`, which isolates errors, restores the state on resume and keeps ranks apart.

    The training loop with its events, as Ultralytics 8.3.200 to 8.4.x run it:

    ```text
    trainer is made:      on_pretrain_routine_start    no data, no model, no metrics yet; not on rank > 0
    set-up:               on_pretrain_routine_end      the first event in which everything is there
    on_train_start
    for each epoch:
        on_train_epoch_start
        the scheduler steps                            so a rate written before this is lost
        for each batch:
            on_train_batch_start
            forward, backward, optimizer step
            on_train_batch_end
        on_train_epoch_end
        unless val=False:
            on_val_start                               the validator is the argument from here
            for each batch: on_val_batch_start, on_val_batch_end
            on_val_end                                 rank 0 only
        a NaN in the loss: back to last.pt and once more from on_train_epoch_start
        results.csv, Ultralytics' own stopper
        last.pt and best.pt are written:   on_model_save         not with save=False; rank 0 only
        on_fit_epoch_end                               the epoch's record is complete: decide here
        every rank reads whether rank 0 stops
    best.pt is stripped and validated; in a suite last.pt is stripped last of all, after teardown:
        on_val_start … on_val_end, on_fit_epoch_end    once more, but no epoch: record.final
    on_train_end                                       rank 0 only
    teardown                                           after an error too; a suite tells it on every version
    ```

    Reserved by Ultralytics, called by none of these versions: `optimizer_step`, `on_before_zero_grad`,
    `on_params_update`. Prediction and export have events of their own, outside a training.

    Attributes:
        every_rank: Whether the callback runs on every rank of a multi-GPU training, not only on rank 0. Class
            attribute, defaults to `False`.
        is_logger: Whether it logs what the others publish: a suite runs loggers last. Class attribute, defaults to
            `False`.
        needs_start: Whether the callback needs `on_pretrain_routine_end` and `on_train_start`, where it overrides them:
            attached after them it does nothing in that run, with a warning. Class attribute, defaults to `True`.

    Example:
        >>> from yolo_callbacks import Callback
        >>> class Overfit(Callback):
        ...     def on_fit_epoch_end(self, trainer):
        ...         record = self.enter(trainer).record()
        ...         if record.validated and not record.final:
        ...             gap = record.metrics["val/box_loss"] - record.metrics["train/box_loss"]
        ...             record.publish("overfit/gap", gap)
    """

    every_rank: ClassVar[bool] = False
    is_logger: ClassVar[bool] = False
    needs_start: ClassVar[bool] = True

    _run_id: str | None = None

    # The life of a callback ---------------------------------------------------------------------------------------

    def enter(self, trainer: Any) -> TrainerAdaptor:
        """The run that `trainer` belongs to; a run that the callback has not seen starts it from a clean state."""
        run = TrainerAdaptor.of(trainer)
        if self._run_id != run.id:
            self._run_id = run.id
            self.reset()
        return run

    def reset(self) -> None:
        """Forget the last run. Called before the first event of each run."""

    def check(self, run: TrainerAdaptor) -> bool:
        """Check the arguments against the run: before the first epoch, then after its first batch if asked to.

        Returns:
            Whether all is checked. False asks for another call, after the first batch, when losses have names.

        Raises:
            ValueError: If an argument does not fit the run. It ends the training, before it has cost anything.
        """
        return True

    def claims(self, task: str) -> set[str]:
        """What no other callback of a suite may claim too, such as the files it writes, for a model of `task`."""
        return set()

    def key(self, task: str) -> str:
        """The name under which a suite keeps the state: the class and what tells two of a kind apart."""
        return type(self).__name__

    def old_keys(self, task: str) -> tuple[str, ...]:
        """Return keys under which older versions stored the state."""
        return ()

    def written_files(self) -> list[Path]:
        """Return the files of this run that a later run with `exist_ok=True` in the same folder may remove."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs, in plain JSON types. Written before and at the end of each epoch: keep it small."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, perhaps by an older version: use `.get` for keys added later.

        Any exception says that the state cannot be taken over: a suite warns, and the callback starts fresh.
        """

    def resume(self, run: TrainerAdaptor) -> None:
        """Bring the run to the state that was just loaded. Called before the first epoch of a resumed run."""

    def release(self, run: TrainerAdaptor) -> None:
        """Let go of what the run holds. A suite calls it once a run, after the `teardown` of every callback."""

    def outcome(self) -> str | None:
        """One line for the table at the end of a run, or None to not stand in it."""
        return None

    # Events of a training: the argument is the trainer ------------------------------------------------------------

    def on_pretrain_routine_start(self, trainer: Any) -> None:
        """The trainer is being made; it has arguments and a folder, no data and no model."""

    def on_pretrain_routine_end(self, trainer: Any) -> None:
        """Model, data, optimizer and validator are there; a resumed run has its state."""

    def on_train_start(self, trainer: Any) -> None:
        """The first epoch is about to start."""

    def on_train_epoch_start(self, trainer: Any) -> None:
        """An epoch starts; once more for the same epoch after a recovery from NaN or out-of-memory."""

    def on_train_batch_start(self, trainer: Any) -> None:
        """A batch is about to go through the model."""

    def optimizer_step(self, trainer: Any) -> None:
        """Reserved by Ultralytics, not called."""

    def on_before_zero_grad(self, trainer: Any) -> None:
        """Reserved by Ultralytics, not called."""

    def on_train_batch_end(self, trainer: Any) -> None:
        """A batch went through the model; with accumulation the optimizer may step later."""

    def on_train_epoch_end(self, trainer: Any) -> None:
        """All batches are done; `trainer.lr` and the losses are those of this epoch, the metrics are not yet."""

    def on_fit_epoch_end(self, trainer: Any) -> None:
        """Validated and saved: the record is complete. Once more after training, with `record.final`.

        A suite calls it before the first epoch of a resumed run too, where a kill came between the checkpoint and this:
        the record is that of the checkpoint's epoch, and of the trainer only epoch, metrics, fitness and rates are.
        """

    def on_model_save(self, trainer: Any) -> None:
        """last.pt, and best.pt if it is the best by fitness, have been written."""

    def on_train_end(self, trainer: Any) -> None:
        """Training and final evaluation are over."""

    def on_params_update(self, trainer: Any) -> None:
        """Reserved by Ultralytics, not called."""

    def teardown(self, trainer: Any) -> None:
        """The trainer is done, or has failed."""

    # Events of a validation: the argument is the validator --------------------------------------------------------

    def on_val_start(self, validator: Any) -> None:
        """Validation starts; `validator.training` is False in the final evaluation."""

    def on_val_batch_start(self, validator: Any) -> None:
        """A validation batch is about to go through the model."""

    def on_val_batch_end(self, validator: Any) -> None:
        """A validation batch was predicted and counted."""

    def on_val_end(self, validator: Any) -> None:
        """Validation is over and `validator.metrics` hold its results; the trainer does not have them yet."""

    # Events of a prediction: the argument is the predictor --------------------------------------------------------

    def on_predict_start(self, predictor: Any) -> None:
        """Prediction starts."""

    def on_predict_batch_start(self, predictor: Any) -> None:
        """A batch is about to be predicted."""

    def on_predict_postprocess_end(self, predictor: Any) -> None:
        """The results of a batch are there."""

    def on_predict_batch_end(self, predictor: Any) -> None:
        """A batch was predicted."""

    def on_predict_end(self, predictor: Any) -> None:
        """Prediction is over."""

    # Events of an export: the argument is the exporter ------------------------------------------------------------

    def on_export_start(self, exporter: Any) -> None:
        """Export starts."""

    def on_export_end(self, exporter: Any) -> None:
        """Export is over."""
