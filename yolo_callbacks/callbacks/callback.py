"""Define the base class of every callback: the events of Ultralytics as methods, and the state that a suite stores."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from yolo_callbacks.callbacks.events import EPOCH_EVENTS, TRAINER_EVENTS
from yolo_callbacks.decisions.epoch_filter import EpochFilter
from yolo_callbacks.metrics.epoch_record import EpochRecord
from yolo_callbacks.trainer.training_run import TrainingRun
from yolo_callbacks.utils.origins import origins_of
from yolo_callbacks.utils.redaction import shown_value
from yolo_callbacks.utils.unknown_arguments import refuse_unknown

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on

__all__ = ["RENAMED", "Callback"]

RENAMED = {
    "check": "validate",
    "claims": "output_files",
    "key": "state_key",
    "old_keys": "old_state_keys",
    "release": "finalize",
}
"""Names of methods in version 0.1, and their names now. The old names work for one minor version."""

# Methods of callbacks in Keras, Lightning and Composer, and what is called here at that time.
_METHODS_OF_OTHERS = {
    "on_epoch_begin": "on_train_epoch_start",
    "on_epoch_start": "on_train_epoch_start",
    "on_epoch_end": "on_epoch",
    "on_train_begin": "on_train_start",
    "on_fit_start": "on_train_start",
    "on_fit_end": "on_train_end",
    "on_batch_begin": "on_train_batch_start",
    "on_batch_start": "on_train_batch_start",
    "on_batch_end": "on_train_batch_end",
    "on_validation_start": "on_val_start",
    "on_validation_end": "on_val_end",
    "on_validation_epoch_end": "on_epoch",
    "on_eval_end": "on_epoch",
    "on_exception": "teardown",
}

# The parameters of the methods that users override.
_CALLED_WITH = {
    "on_epoch": ("self", "run", "record"),
    "on_final_evaluation": ("self", "run", "record"),
    "on_run_end": ("self", "run", "summary"),
    "decide": ("self", "run", "record", "value"),
    "validate": ("self", "run"),
    "reset": ("self",),
    "state_dict": ("self",),
    "load_state_dict": ("self", "state"),
    **dict.fromkeys(TRAINER_EVENTS, ("self", "trainer")),
}

_NOT_KEPT = object()


class Callback:
    """Base class of all callbacks: override the methods that you need.

    Most callbacks override `on_epoch`, which gets the run and the record of the epoch. Methods named after an event of
    Ultralytics get the object that Ultralytics passes to its callbacks; `Event` shows when each is called. Register one
    method with `model.add_callback("on_fit_epoch_end", callback.on_fit_epoch_end)`, or whole callbacks with `attach`:
    it isolates errors, restores the state on resume, and calls a callback on rank 0 only unless `every_rank` is set.

    `reset` runs before the first event of each run, whichever event of the trainer that is.

    Attributes:
        every_rank: Whether the callback runs on every rank of a multi-GPU training, not only on rank 0. Class
            attribute, defaults to `False`.
        is_logger: Whether the callback records what other callbacks log: a suite runs loggers last. Class attribute,
            defaults to `False`.
        needs_start: Whether the callback needs `on_pretrain_routine_end` and `on_train_start`, if it overrides them:
            attached after them, it does nothing in that run and a warning says so. Class attribute, defaults to `True`.

    Raises:
        TypeError: If an argument is given that the callback does not have; the message names the nearest one.

    Example:
        >>> from yolo_callbacks import Callback
        >>> class Overfit(Callback):
        ...     def on_epoch(self, run, record):
        ...         if record.validated:
        ...             record.log("overfit/gap", record.metrics["val/box_loss"] - record.metrics["train/box_loss"])
    """

    every_rank: ClassVar[bool] = False
    is_logger: ClassVar[bool] = False
    needs_start: ClassVar[bool] = True

    # The prefix keeps them apart from the attributes of subclasses: a `_run_id` of a user would reset the callback at
    # every event.
    _yolo_callbacks_run: str | None = None
    _yolo_callbacks_epochs: EpochFilter | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for old, new in RENAMED.items():
            if inspect.isfunction(vars(cls).get(old)) and new not in vars(cls):
                warnings.warn(f"{cls.__name__}.{old} is called {new} now", DeprecationWarning, stacklevel=2)
                setattr(cls, new, vars(cls)[old])
        _offer_old_names(cls)
        if "__init__" in vars(cls):
            cls.__init__ = _refusing_unknown(vars(cls)["__init__"])  # type: ignore[method-assign]
        _warn_of_unknown_events(cls)
        _validate_signatures(cls)
        for event in TRAINER_EVENTS:
            if event in vars(cls):
                setattr(cls, event, _starting_run(vars(cls)[event], event))
            elif not issubclass(_owner(cls, event), Callback):  # a class that another base of `cls` brings along
                setattr(cls, event, _starting_run(_forwarding(cls, event), event))

    def __repr__(self) -> str:
        """Show the arguments that differ from their defaults."""
        chosen = f".in_epochs({self.epoch_filter.text!r})" if self.epoch_filter else ""
        return f"{type(self).__name__}({', '.join(_shown_arguments(self))}){chosen}"

    def _argument(self, name: str) -> Any:
        """Return the value of an argument as it was given, for `__repr__`.

        Raises:
            AttributeError: If the callback does not keep it.
        """
        return getattr(self, name)

    def _unmet_needs(self) -> str:
        """Return what this machine lacks for the callback, such as a package; `""` for nothing. There is no run yet."""
        return ""

    def in_epochs(self, epochs: str | int) -> Self:
        """Run the callback in some epochs only. Its events before the first and after the last epoch are not changed.

        Args:
            epochs: A range with both ends, counted from 1: `"10:50"`, `"10:"` to the end, `":50"` from the start, `10`
                alone, `"-10:"` the last ten of the planned epochs.

        Returns:
            The callback itself.

        Raises:
            TypeError: If `epochs` is neither a string nor an integer.
            ValueError: If `epochs` is no such range.

        Example:
            >>> from yolo_callbacks import EarlyStopping
            >>> EarlyStopping("mAP50", patience=10).in_epochs("50:")
            EarlyStopping(monitor='mAP50', patience=10).in_epochs('50:')
        """
        # A frozen dataclass refuses an assignment.
        object.__setattr__(self, "_yolo_callbacks_epochs", EpochFilter.of(epochs))
        return self

    @property
    def epoch_filter(self) -> EpochFilter | None:
        """The epochs in which the callback runs; None for all."""
        return self._yolo_callbacks_epochs

    # One call an epoch ------------------------------------------------------------------------------------------------

    def on_epoch(self, run: TrainingRun, record: EpochRecord) -> None:
        """React to an epoch, validated or not, when its record is complete; on rank 0, unless `every_rank` is set."""

    def on_final_evaluation(self, run: TrainingRun, record: EpochRecord) -> None:
        """React to the evaluation of the best checkpoint after training. It is no epoch: `record.final` is True."""

    def on_run_end(self, run: TrainingRun, summary: Mapping[str, Any]) -> None:
        """React when all of a run is concluded and its files are written; in a suite, on rank 0.

        `summary` has what the table at the end shows: `status`, `epochs`, `planned_epochs`, `stopped_by`, `seconds`,
        `folder`, and `callbacks`. It is not called for a run that has trained no batch.
        """

    # What a suite calls -----------------------------------------------------------------------------------------------

    def start_run(self, trainer: Any) -> None:
        """Reset the callback if it has not seen this training yet."""
        run_id = TrainingRun.of(trainer).id
        if self._yolo_callbacks_run != run_id:
            object.__setattr__(self, "_yolo_callbacks_run", run_id)  # a frozen dataclass refuses an assignment
            self.reset()

    def enter(self, trainer: Any) -> TrainingRun:
        """Return `TrainingRun.of(trainer)`; deprecated."""
        warnings.warn("Callback.enter(trainer) is called TrainingRun.of(trainer) now", DeprecationWarning, stacklevel=2)
        self.start_run(trainer)
        return TrainingRun.of(trainer)

    def rests(self, run: TrainingRun) -> bool:
        """Return whether the callback does nothing in the present epoch, because of `in_epochs`."""
        chosen = self.epoch_filter
        return chosen is not None and not run.final and not chosen.matches(run.epoch, run.planned_epochs)

    def reset(self) -> None:
        """Forget the last run. Called before the first event of each run."""

    def listens_to(self, event: str) -> bool:
        """Return whether the callback does something at an event."""
        names = (event, "on_epoch", "on_final_evaluation") if event == "on_fit_epoch_end" else (event,)
        return any(getattr(type(self), name) is not getattr(Callback, name) for name in names)

    def validate(self, run: TrainingRun) -> bool:
        """Validate the arguments against the run, before the first epoch.

        Returns:
            Whether everything is validated. After False the method is called again after the first batch, when the
            names of the losses are known.

        Raises:
            ValueError: If an argument does not fit the run. It ends the training.
        """
        return True

    def output_files(self, task: str) -> set[str]:
        """Return the files that no other callback of the suite may write too, for a model of `task`."""
        return set()

    def logged_scalars(self, task: str) -> tuple[str, ...]:
        """Return the keys that the callback logs in its epochs, for monitors of the callbacks after it in the suite."""
        return ()

    def state_key(self, task: str) -> str:
        """Return the name under which a suite stores the state; two callbacks of a suite need different ones."""
        return type(self).__name__

    def old_state_keys(self, task: str) -> tuple[str, ...]:
        """Return the names under which older versions stored the state."""
        return ()

    def written_files(self) -> list[Path]:
        """Return the files of this run that a later run with `exist_ok=True` in the same folder may remove."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs, in plain JSON types. Stored before and at the end of each epoch."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned, perhaps in an older version: use `.get` for keys added later.

        Raise any exception if the state cannot be restored: the suite warns, and the callback starts fresh.
        """

    def resume(self, run: TrainingRun) -> None:
        """Apply the restored state to the run. Called before the first epoch of a resumed run."""

    def finalize(self, run: TrainingRun) -> None:
        """Drop references to what the run holds. Called once a run, after the `teardown` of every callback."""

    def outcome(self) -> str | None:
        """Return one line for the table at the end of a run, or None for no line."""
        return None

    # Events of a training: the argument is the trainer ----------------------------------------------------------------

    def on_pretrain_routine_start(self, trainer: Any) -> None:
        """React while the trainer is made: it has arguments and a folder, but no data and no model yet."""

    def on_pretrain_routine_end(self, trainer: Any) -> None:
        """React when model, data, optimizer and validator are ready; a resumed run has its state."""

    def on_train_start(self, trainer: Any) -> None:
        """React before the first epoch."""

    def on_train_epoch_start(self, trainer: Any) -> None:
        """React before an epoch; again for the same epoch after a recovery from NaN or out-of-memory."""

    def on_train_batch_start(self, trainer: Any) -> None:
        """React before the model gets a batch."""

    def optimizer_step(self, trainer: Any) -> None:
        """Do nothing: reserved by Ultralytics, not called."""

    def on_before_zero_grad(self, trainer: Any) -> None:
        """Do nothing: reserved by Ultralytics, not called."""

    def on_train_batch_end(self, trainer: Any) -> None:
        """React after a batch; with accumulation the optimizer may step later."""

    def on_train_epoch_end(self, trainer: Any) -> None:
        """React after the last batch; `trainer.lr` and the losses are of this epoch, the metrics of the last one."""

    def on_fit_epoch_end(self, trainer: Any) -> None:
        """Call `on_epoch`, or `on_final_evaluation` after training. Most callbacks override those instead.

        If a run was killed between the checkpoint of an epoch and this event, a suite calls it before the first epoch
        of the resumed run. Then the record is that of the checkpoint's epoch, and of the attributes of the trainer only
        epoch, metrics, fitness and rates belong to that epoch.
        """
        self.start_run(trainer)
        run = TrainingRun.of(trainer)
        if not (run.is_main or self.every_rank) or self.rests(run):
            return
        record = run.record()
        if record.final:
            self.on_final_evaluation(run, record)
        else:
            self.on_epoch(run, record)

    def on_model_save(self, trainer: Any) -> None:
        """React when last.pt has been written, and best.pt if the epoch is the best by fitness."""

    def on_train_end(self, trainer: Any) -> None:
        """React after training and final evaluation."""

    def on_params_update(self, trainer: Any) -> None:
        """Do nothing: reserved by Ultralytics, not called."""

    def teardown(self, trainer: Any) -> None:
        """React at the end of the trainer, also after an error."""

    # Events of a validation: the argument is the validator ------------------------------------------------------------

    def on_val_start(self, validator: Any) -> None:
        """React before a validation; `validator.training` is False in the final evaluation."""

    def on_val_batch_start(self, validator: Any) -> None:
        """React before the model gets a validation batch."""

    def on_val_batch_end(self, validator: Any) -> None:
        """React after a validation batch was predicted and compared with its labels."""

    def on_val_end(self, validator: Any) -> None:
        """React when `validator.metrics` holds the results; the trainer does not have them yet."""

    # Events of a prediction: the argument is the predictor ------------------------------------------------------------

    def on_predict_start(self, predictor: Any) -> None:
        """React before a prediction."""

    def on_predict_batch_start(self, predictor: Any) -> None:
        """React before a batch is predicted."""

    def on_predict_postprocess_end(self, predictor: Any) -> None:
        """React when the results of a batch are ready."""

    def on_predict_batch_end(self, predictor: Any) -> None:
        """React after a batch was predicted."""

    def on_predict_end(self, predictor: Any) -> None:
        """React after a prediction."""

    # Events of an export: the argument is the exporter ----------------------------------------------------------------

    def on_export_start(self, exporter: Any) -> None:
        """React before an export."""

    def on_export_end(self, exporter: Any) -> None:
        """React after an export."""


def _validate_signatures(cls: type[Callback]) -> None:
    """Refuse methods that cannot be called as this package calls them.

    Raises:
        TypeError: If one has other parameters.
    """
    for name, method in vars(cls).items():
        if not inspect.isfunction(method) or name not in _CALLED_WITH:
            continue
        parameters = _CALLED_WITH[name]
        try:
            inspect.signature(method).bind(*parameters)
        except TypeError:
            given = ", ".join(inspect.signature(method).parameters)
            raise TypeError(
                f"{cls.__name__}.{name} must take ({', '.join(parameters)}), but it takes ({given})"
            ) from None


def _warn_of_unknown_events(cls: type[Callback]) -> None:
    """Warn of methods whose name is close to that of an event: nobody would call them, and nothing would say so."""
    known = [name for name in vars(Callback) if name.startswith("on_")]
    for name, method in vars(cls).items():
        if name.startswith("on_") and name not in dir(Callback) and inspect.isfunction(method):
            meant = _METHODS_OF_OTHERS.get(name) or next(iter(get_close_matches(name, known, n=1, cutoff=0.8)), None)
            if meant:
                # 3: past `__init_subclass__`, to the line of the class
                text = f"{cls.__name__}.{name} is never called: Ultralytics has no such event, did you mean {meant!r}?"
                warnings.warn(text, stacklevel=3)


def _offer_old_names(cls: type[Callback]) -> None:
    """Offer the renamed methods of a class under their old names, for calls and for `super()` in a subclass."""
    for old, new in RENAMED.items():
        if new in vars(cls) and (old not in vars(cls) or vars(cls)[old] is vars(cls)[new]):
            setattr(cls, old, _deprecated(cls.__name__, old, new, vars(cls)[new]))


def _deprecated(owner: str, old: str, new: str, method: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method that warns of its old name and calls the method of the same class."""

    @functools.wraps(method)
    def deprecated(*given: Any, **named: Any) -> Any:
        warnings.warn(f"{owner}.{old} is called {new} now", DeprecationWarning, stacklevel=2)
        return method(*given, **named)

    deprecated.__doc__ = f"Call `{new}`; deprecated."
    return deprecated


_offer_old_names(Callback)


def _starting_run(method: Callable[[Any, Any], None], event: str) -> Callable[[Any, Any], None]:
    """Return a method for an event that resets its callback first, if the event is the first one of a run.

    It does nothing in an epoch in which the callback rests.
    """
    of_epoch = event in EPOCH_EVENTS

    @functools.wraps(method)
    def started(self: Callback, trainer: Any) -> None:
        self.start_run(trainer)
        if of_epoch and self.epoch_filter is not None and self.rests(TrainingRun.of(trainer)):
            return None
        return method(self, trainer)

    return started


def _owner(cls: type, name: str) -> type:
    """Return the class that a method of `cls` is inherited from."""
    return next(base for base in cls.__mro__ if name in vars(base))


def _forwarding(cls: type, name: str) -> Callable[[Any, Any], None]:
    """Return a method of `cls` that calls the inherited one."""
    method = getattr(cls, name)

    @functools.wraps(method)
    def forwarding(self: Callback, trainer: Any) -> None:
        getattr(super(cls, self), name)(trainer)

    return forwarding


def _refusing_unknown(init: Callable[..., None]) -> Callable[..., None]:
    """Return an `__init__` that refuses an unknown argument and names the nearest one."""

    @functools.wraps(init)
    def refusing(self: Callback, *given: Any, **named: Any) -> None:
        if named:
            inits = [vars(base)["__init__"] for base in type(self).__mro__[:-1] if "__init__" in vars(base)]
            own = next(index for index, each in enumerate(inits) if inspect.unwrap(each) is inspect.unwrap(init))
            refuse_unknown(type(self).__name__, init, named, inits[own + 1 :])
        init(self, *given, **named)

    return refusing


def _shown_arguments(callback: Callback) -> list[str]:
    """Return `name=value` of each argument that differs from its default; hide values of environment variables."""
    variables = origins_of(callback).variables
    shown = []
    for name, parameter in inspect.signature(type(callback)).parameters.items():
        if parameter.kind == parameter.VAR_POSITIONAL:
            continue
        value = _kept(callback, name)
        if parameter.kind == parameter.VAR_KEYWORD:
            for each, given in value.items() if isinstance(value, Mapping) else ():
                shown.append(f"{each}={_of_variables(variables.get(each)) or shown_value(each, given)}")
            continue
        if value is _NOT_KEPT or getattr(value, "__self__", None) is callback:  # or a method of that name
            continue
        if name in variables:
            shown.append(f"{name}={_of_variables(variables[name])}")
        elif not _same(value, parameter.default):
            shown.append(f"{name}={value!r}")
    return shown


def _of_variables(names: Iterable[str] | None) -> str:
    return "+".join(f"${{{name}}}" for name in names or ())


def _kept(callback: Callback, name: str) -> Any:
    """Return the value of an argument, or `_NOT_KEPT`."""
    try:
        return callback._argument(name)
    except Exception:  # there is no such attribute, or it is a property that has no value yet
        return _NOT_KEPT


def _same(value: object, default: object) -> bool:
    try:
        return value is default or bool(value == default)
    except Exception:  # an array, or an object of somebody else
        return False
