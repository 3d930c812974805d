"""List the events of Ultralytics, and show the training loop in which they happen.

The training loop, as Ultralytics 8.3.200 to 8.4.x run it:

```text
trainer is made:      on_pretrain_routine_start    no data, no model, no metrics yet; not on rank > 0
set-up:               on_pretrain_routine_end      the first event with data, model and optimizer
on_train_start
for each epoch:
    on_train_epoch_start
    the scheduler steps                            it overwrites rates written before
    for each batch:
        on_train_batch_start
        forward, backward, optimizer step
        on_train_batch_end
    on_train_epoch_end
    unless val=False:
        on_val_start                               the argument is the validator
        for each batch: on_val_batch_start, on_val_batch_end
        on_val_end                                 rank 0 only
    after a NaN in the loss: load last.pt and repeat from on_train_epoch_start
    results.csv, Ultralytics' own stopper
    last.pt and best.pt are written:   on_model_save         not with save=False; rank 0 only
    on_fit_epoch_end                               the record is complete: on_epoch(run, record)
    every rank reads whether rank 0 stops
best.pt is stripped and validated; a suite strips last.pt at the very end, after teardown:
    on_val_start … on_val_end, on_fit_epoch_end    no epoch: on_final_evaluation(run, record)
on_train_end                                       rank 0 only
teardown                                           after an error too; a suite calls it in every version
```

Ultralytics reserves `optimizer_step`, `on_before_zero_grad` and `on_params_update`; none of these versions calls them.
Prediction and export have events of their own, outside a training.
"""

from __future__ import annotations

from enum import Enum

__all__ = ["EPOCH_EVENTS", "TRAINER_EVENTS", "Event"]


class Event(str, Enum):
    """An event of Ultralytics; the value is the name that `model.add_callback` takes.

    Example:
        >>> from yolo_callbacks import Event
        >>> Event.FIT_EPOCH_END.value
        'on_fit_epoch_end'
    """

    PRETRAIN_ROUTINE_START = "on_pretrain_routine_start"
    PRETRAIN_ROUTINE_END = "on_pretrain_routine_end"
    TRAIN_START = "on_train_start"
    TRAIN_EPOCH_START = "on_train_epoch_start"
    TRAIN_BATCH_START = "on_train_batch_start"
    OPTIMIZER_STEP = "optimizer_step"
    BEFORE_ZERO_GRAD = "on_before_zero_grad"
    TRAIN_BATCH_END = "on_train_batch_end"
    TRAIN_EPOCH_END = "on_train_epoch_end"
    FIT_EPOCH_END = "on_fit_epoch_end"
    MODEL_SAVE = "on_model_save"
    TRAIN_END = "on_train_end"
    PARAMS_UPDATE = "on_params_update"
    TEARDOWN = "teardown"
    VAL_START = "on_val_start"
    VAL_BATCH_START = "on_val_batch_start"
    VAL_BATCH_END = "on_val_batch_end"
    VAL_END = "on_val_end"
    PREDICT_START = "on_predict_start"
    PREDICT_BATCH_START = "on_predict_batch_start"
    PREDICT_POSTPROCESS_END = "on_predict_postprocess_end"
    PREDICT_BATCH_END = "on_predict_batch_end"
    PREDICT_END = "on_predict_end"
    EXPORT_START = "on_export_start"
    EXPORT_END = "on_export_end"

    def __str__(self) -> str:
        return self.value


TRAINER_EVENTS = tuple(event.value for event in Event if event.value.partition("_")[2].split("_")[0] not in (
    "val", "predict", "export"
))  # fmt: skip
"""The events whose argument is the trainer."""

EPOCH_EVENTS = frozenset(
    {
        Event.TRAIN_EPOCH_START.value,
        Event.TRAIN_BATCH_START.value,
        Event.TRAIN_BATCH_END.value,
        Event.TRAIN_EPOCH_END.value,
        Event.MODEL_SAVE.value,
        Event.FIT_EPOCH_END.value,
    }
)
"""The events of an epoch whose argument is the trainer."""
